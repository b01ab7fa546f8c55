package implib

import "encoding/binary"

// The fields of an import header (PE Format, "Import Type" and "Import Name
// Type").
const (
	importCode = 0
	importData = 1
	importName = 1 << 2 // the symbol's name is the one in the DLL
)

// shortImport is a member of IMPORT_OBJECT_HEADER and two strings (winnt.h).
func shortImport(m machine, dll string, s Symbol) []byte {
	order := binary.LittleEndian
	kind := uint16(importCode | importName)
	if s.Data {
		kind = importData | importName
	}
	b := []byte{0, 0, 0xff, 0xff, 0, 0} // IMAGE_FILE_MACHINE_UNKNOWN, IMPORT_OBJECT_HDR_SIG2, version
	b = order.AppendUint16(b, m.number)
	b = order.AppendUint32(b, 0) // time
	b = order.AppendUint32(b, uint32(len(s.Name)+1+len(dll)+1))
	b = order.AppendUint16(b, s.Hint)
	b = order.AppendUint16(b, kind)
	b = append(append(b, s.Name...), 0)
	return append(append(b, dll...), 0)
}
