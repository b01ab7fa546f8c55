package inspect

import (
	"path"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/objfile"
)

// Report is a survey for other programs; docs/json.md describes it.
type Report struct {
	Schema int          `json:"schema"`
	Files  []FileReport `json:"files"`
	Roots  []RootReport `json:"roots"`
}

// RootReport is a path that was asked for.
type RootReport struct {
	Path   string  `json:"path"`
	Kind   string  `json:"kind"`
	Bytes  int64   `json:"bytes"`
	Others []Other `json:"others"`
	Links  []Link  `json:"links"`
	// Problem says why it, or the rest of it, could not be read.
	Problem string `json:"problem,omitempty"`
}

// FileReport is a native file, or one slice of a universal one. The keys up to
// CUDA are there in every one.
type FileReport struct {
	Path       string         `json:"path"`
	Format     objfile.Format `json:"format"`
	Machine    string         `json:"machine"`
	Kind       objfile.Kind   `json:"kind"`
	Soname     string         `json:"soname"`
	Needs      []string       `json:"needs"`
	DelayNeeds []string       `json:"delay_needs"`
	Rpath      []string       `json:"rpath"`
	Runpath    []string       `json:"runpath"`
	Floors     FloorsReport   `json:"floors"`
	ISA        ISAReport      `json:"isa"`
	Signature  string         `json:"signature"`
	CUDA       CUDAReport     `json:"cuda"`

	In       string           `json:"in"`
	Bytes    int64            `json:"bytes"`
	Offset   int64            `json:"offset,omitempty"`
	Bits     int              `json:"bits,omitempty"`
	Static   bool             `json:"static,omitempty"`
	Interp   string           `json:"interp,omitempty"`
	BuildID  string           `json:"build_id,omitempty"`
	Imports  []NeedReport     `json:"imports,omitempty"`
	Dlopen   []objfile.Dlopen `json:"dlopen,omitempty"`
	Signer   *SignerReport    `json:"signer,omitempty"`
	PE       *PEReport        `json:"pe,omitempty"`
	MachO    *MachOReport     `json:"macho,omitempty"`
	Tree     []NodeReport     `json:"tree,omitempty"`
	TreeRoot string           `json:"tree_root,omitempty"`
	Strings  []Leak           `json:"strings,omitempty"`
	More     int              `json:"strings_more,omitempty"`
	Problems []string         `json:"problems,omitempty"`
}

// FloorsReport are the oldest versions on which a file starts, empty where it
// does not say. Driver is NVIDIA's, for the GPU code in the file.
type FloorsReport struct {
	Glibc   string `json:"glibc"`
	Glibcxx string `json:"glibcxx"`
	MacOS   string `json:"macos"`
	Driver  string `json:"driver"`
	CXXABI  string `json:"cxxabi,omitempty"`
	Libgcc  string `json:"libgcc,omitempty"`
	Windows string `json:"windows,omitempty"`
}

// ISAReport is the CPU level that a file asks for.
type ISAReport struct {
	Level    string `json:"level"`
	Evidence string `json:"evidence"`
}

// CUDAReport is the GPU code in a file. RunsNative and RunsJIT are compute
// capabilities, such as 9.0.
type CUDAReport struct {
	Images     []ImageGroup `json:"images"`
	RunsNative []string     `json:"runs_native"`
	RunsJIT    []string     `json:"runs_jit"`

	Sections []SectionCount `json:"sections,omitempty"`
	GPUs     []GPURow       `json:"gpus,omitempty"`
}

// NeedReport is what a file asks of a library beyond its name, where it asks
// for more.
type NeedReport struct {
	Name          string   `json:"name"`
	How           string   `json:"how,omitempty"`
	Symbols       int      `json:"symbols,omitempty"`
	Ordinals      int      `json:"ordinals,omitempty"`
	APISet        bool     `json:"api_set,omitempty"`
	Versions      []string `json:"versions,omitempty"`
	Compatibility string   `json:"compatibility,omitempty"`
}

// SignerReport is who signed a file.
type SignerReport struct {
	Name        string `json:"name,omitempty"`
	Identifier  string `json:"identifier,omitempty"`
	TeamID      string `json:"team_id,omitempty"`
	Hardened    bool   `json:"hardened,omitempty"`
	Timestamped bool   `json:"timestamped,omitempty"`
}

// PEReport is what only PE files have.
type PEReport struct {
	Subsystem string `json:"subsystem,omitempty"`
	Linker    string `json:"linker,omitempty"`
	PDB       string `json:"pdb,omitempty"`
	Debug     bool   `json:"debug,omitempty"`
}

// MachOReport is what only Mach-O files have.
type MachOReport struct {
	Platform  string `json:"platform,omitempty"`
	SDK       string `json:"sdk,omitempty"`
	Universal bool   `json:"universal,omitempty"`
	// Version is that of a metallib's format.
	Version string `json:"version,omitempty"`
}

// NodeReport is a file of a dependency tree, with the libraries that it asks
// for.
type NodeReport struct {
	Path  string       `json:"path"`
	Needs []EdgeReport `json:"needs"`
}

// EdgeReport is a library that a file asks for, and where it is found.
type EdgeReport struct {
	Name     string       `json:"name"`
	How      string       `json:"how"`
	Class    loader.Class `json:"class"`
	Path     string       `json:"path,omitempty"`
	Via      string       `json:"via,omitempty"`
	Searched []string     `json:"searched,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	Cwd      bool         `json:"cwd,omitempty"`
}

// Report makes the report of a survey.
func (s *Survey) Report() Report {
	rep := Report{Schema: 1, Files: []FileReport{}, Roots: []RootReport{}}
	for _, r := range s.Roots {
		rr := RootReport{Path: r.Path, Kind: r.Kind, Bytes: r.Size, Others: list(r.Others), Links: list(r.Links)}
		if r.Err != nil {
			rr.Problem = r.Err.Error()
		}
		rep.Roots = append(rep.Roots, rr)
		for _, f := range r.Files {
			slices := f.Slices
			if len(slices) == 0 {
				slices = []*Slice{{Object: &objfile.Object{}}}
			}
			for _, sl := range slices {
				rep.Files = append(rep.Files, fileReport(r, f, sl))
			}
		}
	}
	return rep
}

func fileReport(r *Root, f *File, sl *Slice) FileReport {
	o := sl.Object
	out := FileReport{
		Path: r.Name(f), Format: o.Format, Machine: o.Machine, Kind: o.Kind, Soname: o.Soname,
		Needs: names(o.Needs), DelayNeeds: names(o.DelayNeeds), Rpath: list(o.Rpath), Runpath: list(o.Runpath),
		Floors: FloorsReport{
			Glibc: o.Floors.Glibc, Glibcxx: o.Floors.Glibcxx, MacOS: o.Floors.MacOS, CXXABI: o.Floors.CXXABI,
			Libgcc: o.Floors.Libgcc, Windows: o.Floors.Windows, Driver: sl.Driver(),
		},
		ISA: ISAReport(o.ISA), Signature: o.Signature.Kind,
		CUDA: CUDAReport{Images: []ImageGroup{}, RunsNative: []string{}, RunsJIT: []string{}},
		In:   r.Path, Bytes: f.Size, Offset: o.Offset, Bits: o.Bits, Static: o.Static, Interp: o.Interp, BuildID: o.BuildID,
		Dlopen: o.Dlopen, Strings: sl.Leaks, More: sl.LeaksMore,
	}
	if o.MachO != nil && o.MachO.Universal {
		out.Bytes = o.Size
	}
	for _, n := range append(o.Needs[:len(o.Needs):len(o.Needs)], o.DelayNeeds...) {
		if n.How != "" || n.Symbols+n.Ordinals > 0 || n.APISet || len(n.Versions) > 0 || n.Compatibility != "" {
			out.Imports = append(out.Imports, NeedReport(n))
		}
	}
	sg := SignerReport{o.Signature.Signer, o.Signature.Identifier, o.Signature.TeamID, o.Signature.Hardened, o.Signature.Timestamped}
	if sg != (SignerReport{}) {
		out.Signer = &sg
	}
	if o.PE != nil {
		pe := PEReport(*o.PE)
		out.PE = &pe
	}
	if o.MachO != nil {
		out.MachO = &MachOReport{Platform: o.MachO.Platform, SDK: o.MachO.SDK, Universal: o.MachO.Universal, Version: o.MachO.Version}
	}
	if g := sl.GPU; g != nil {
		out.CUDA = CUDAReport{
			Images: g.Images, RunsNative: runsBy(g.Rows, cuda.Native), RunsJIT: runsBy(g.Rows, cuda.JIT), Sections: g.Sections, GPUs: g.Rows,
		}
	}
	out.Tree = treeReport(r, sl.Tree)
	if sl.Tree != nil && r.Rel(sl.Tree.Root) != f.Path {
		out.TreeRoot = r.Rel(sl.Tree.Root)
	}
	for _, err := range []error{f.Err, sl.TreeErr} {
		if err != nil {
			out.Problems = append(out.Problems, strings.Split(err.Error(), "\n")...)
		}
	}
	return out
}

func treeReport(r *Root, t *loader.Tree) []NodeReport {
	if t == nil {
		return nil
	}
	var out []NodeReport
	for _, p := range t.Order {
		n := t.Nodes[p]
		if n == nil {
			continue
		}
		nr := NodeReport{Path: r.Rel(n.Path), Needs: []EdgeReport{}}
		for _, e := range n.Edges {
			nr.Needs = append(nr.Needs, EdgeReport{
				Name: e.Name, How: e.How, Class: e.Class, Path: r.Rel(e.Path), Via: e.Via, Searched: r.searched(e), Hint: e.Hint, Cwd: e.Cwd,
			})
		}
		out = append(out, nr)
	}
	return out
}

// searched are the directories in which a loader looked: on the disk as it spells
// them, in an archive as the archive's files are named, or the system's.
func (r *Root) searched(e loader.Edge) []string {
	if r.onDisk() {
		return e.Searched
	}
	var dirs []string
	for _, d := range e.Searched {
		dirs = append(dirs, r.Rel(path.Clean(d)))
	}
	return dirs
}

func names(needs []objfile.Need) []string {
	out := make([]string, 0, len(needs))
	for _, n := range needs {
		out = append(out, n.Name)
	}
	return out
}

// list is never null in JSON.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
