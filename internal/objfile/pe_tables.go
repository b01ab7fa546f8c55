package objfile

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
)

//go:embed pe.json
var peJSON []byte

var peTable = mustPETables(peJSON)

type peTables struct {
	Machines   []peMachine   `json:"machines"`
	Subsystems []peSubsystem `json:"subsystems"`
	// APISets and DebugRuntimes are patterns of path.Match for names of DLLs in
	// lower case.
	APISets       []string `json:"api_sets"`
	DebugRuntimes []string `json:"debug_runtimes"`

	machines   map[uint16]peMachine
	subsystems map[uint16]peSubsystem
}

type peMachine struct {
	Value string `json:"value"`
	Name  string `json:"name"`
	Bits  int    `json:"bits"`
	// Object says that an object file is recognised by this number.
	Object bool `json:"object"`
}

type peSubsystem struct {
	Value string `json:"value"`
	Name  string `json:"name"`
	// Windows says that the subsystem's version is one of Windows.
	Windows bool `json:"windows"`
}

func mustPETables(data []byte) *peTables {
	t := &peTables{machines: map[uint16]peMachine{}, subsystems: map[uint16]peSubsystem{}}
	if err := json.Unmarshal(data, t); err != nil {
		panic("objfile: pe.json: " + err.Error())
	}
	number := func(s string) uint16 {
		n, err := strconv.ParseUint(s, 0, 16)
		if err != nil {
			panic("objfile: pe.json: " + err.Error())
		}
		return uint16(n)
	}
	for _, m := range t.Machines {
		t.machines[number(m.Value)] = m
	}
	for _, s := range t.Subsystems {
		t.subsystems[number(s.Value)] = s
	}
	return t
}

// machine is the name of Machine; bits is 0 for unknown ones.
func (t *peTables) machine(number uint16) (name string, bits int) {
	if m, ok := t.machines[number]; ok {
		return m.Name, m.Bits
	}
	return fmt.Sprintf("pe-%d", number), 0
}

func (t *peTables) subsystem(number uint16) (name string, windows bool) {
	if s, ok := t.subsystems[number]; ok {
		return s.Name, s.Windows
	}
	return strconv.Itoa(int(number)), false
}

func matchDLL(patterns []string, name string) bool {
	name = strings.ToLower(name)
	for _, p := range patterns {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return false
}
