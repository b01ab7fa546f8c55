package implib

// The names by which linkers put together the parts of an import directory
// entry; a short import asks for the descriptor of its DLL, and the descriptor
// for the two that end the lists.
const nullDescriptorName = "__NULL_IMPORT_DESCRIPTOR"

func descriptorName(stem string) string { return "__IMPORT_DESCRIPTOR_" + stem }
func nullThunkName(stem string) string  { return "\x7f" + stem + "_NULL_THUNK_DATA" }

// descriptor is the DLL's entry of the import directory (PE Format, "Import
// Directory Table"): .idata$2 holds the entry, $6 the DLL's name; $4 and $5,
// the tables of lookups and addresses, are made of the short imports.
func descriptor(m machine, dll, stem string) []byte {
	name := append([]byte(dll), 0)
	if len(name)%2 != 0 {
		name = append(name, 0)
	}
	return object{
		machine: m,
		sections: []section{
			{name: ".idata$2", flags: sectionData | align4, data: make([]byte, 20), fixups: []fixup{{12, 2}, {0, 3}, {16, 4}}},
			{name: ".idata$6", flags: sectionData | align2, data: name},
		},
		symbols: []symbol{
			{descriptorName(stem), 1, classExtern},
			{".idata$2", 1, classSection},
			{".idata$6", 2, classStatic},
			{".idata$4", 0, classSection},
			{".idata$5", 0, classSection},
			{nullDescriptorName, 0, classExtern},
			{nullThunkName(stem), 0, classExtern},
		},
	}.bytes()
}

// nullDescriptor ends the import directory.
func nullDescriptor(m machine) []byte {
	return object{
		machine:  m,
		sections: []section{{name: ".idata$3", flags: sectionData | align4, data: make([]byte, 20)}},
		symbols:  []symbol{{nullDescriptorName, 1, classExtern}},
	}.bytes()
}

// nullThunk ends the DLL's tables of addresses and of lookups, of 64 bits each.
func nullThunk(m machine, stem string) []byte {
	return object{
		machine: m,
		sections: []section{
			{name: ".idata$5", flags: sectionData | align8, data: make([]byte, 8)},
			{name: ".idata$4", flags: sectionData | align8, data: make([]byte, 8)},
		},
		symbols: []symbol{{nullThunkName(stem), 1, classExtern}},
	}.bytes()
}
