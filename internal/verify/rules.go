package verify

// rule is one of matrix.Rules and what judges by it.
type rule struct {
	name  string
	judge func(*subject) []Finding
}

// rules are all rules in the order of the report, which is that of
// matrix.Rules.
var rules = []rule{
	{"closure", closure},
	{"loaded-by-name", loadedByName},
	{"library-family", libraryFamily},
	{"delay-import", delayImport},
	{"machine", machine},
	{"floor", floor},
	{"cpu-level", cpuLevel},
	{"coverage", coverage},
	{"driver-library", driverLibrary},
	{"driver-needed", driverNeeded},
	{"leak", leak},
	{"license", license},
	{"required-content", requiredContent},
	{"vendor-identity", vendorIdentity},
	{"signature", signature},
	{"links", links},
	{"modes", modes},
	{"names", names},
	{"debug-runtime", debugRuntime},
	{"size", size},
	{"manifest", manifestRule},
}
