package inspect

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/fatbin"
)

// kindWords are the kinds of GPU code in words.
var kindWords = []struct {
	kind fatbin.Kind
	word string
}{
	{fatbin.Cubin, "machine code"},
	{fatbin.PTX, "PTX, which the driver compiles"},
	{fatbin.LTOIR, "for the linker (LTO-IR), runs nowhere"},
}

// images shows the GPU code in a file.
func (p *picture) images(g *GPU) {
	count, bytes, unpacked := 0, int64(0), int64(0)
	for _, i := range g.Images {
		count += i.Count
		bytes += i.Bytes
		unpacked += i.Unpacked
	}
	total := fmt.Sprintf("%s, %s", plural(count, "CUDA image"), size(bytes))
	if unpacked > bytes {
		total += fmt.Sprintf(" (%s when decompressed)", size(unpacked))
	}
	lines := wrap(total, width-labelWidth)
	for _, k := range kindWords {
		var archs []string
		counts := map[string]int{}
		for _, i := range g.Images {
			if i.Kind == k.kind {
				if counts[i.Arch] == 0 {
					archs = append(archs, i.Arch)
				}
				counts[i.Arch] += i.Count
			}
		}
		for i, a := range archs {
			archs[i] = fmt.Sprintf("%s×%s", a, humanize.Comma(int64(counts[a])))
		}
		if len(archs) > 0 {
			lines = append(lines, wrap(k.word+": "+strings.Join(archs, " "), width-labelWidth)...)
		}
	}
	p.row("GPU code", lines...)
}

// gpuTables prints for the files with GPU code which GPUs run it, files alike
// together.
func (p *picture) gpuTables(r *Root) {
	type table struct {
		rows  []GPURow
		files []string
	}
	var tables []*table
	for _, f := range r.Files {
		for _, sl := range f.Slices {
			if sl.GPU == nil || len(sl.GPU.Rows) == 0 {
				continue
			}
			i := slices.IndexFunc(tables, func(t *table) bool { return slices.Equal(t.rows, sl.GPU.Rows) })
			if i < 0 {
				i = len(tables)
				tables = append(tables, &table{rows: sl.GPU.Rows})
			}
			tables[i].files = append(tables[i].files, text(r.Name(f)))
		}
	}
	for _, t := range tables {
		p.line("")
		title := "GPUs, by compute capability, that run the code in " + strings.Join(t.files, ", ")
		for i, l := range wrap(title, width) {
			if i == 4 {
				p.line(p.paint(bold, fmt.Sprintf("and more, %s together", plural(len(t.files), "file"))))
				break
			}
			p.line(p.paint(bold, l))
		}
		p.gpuTable(t.rows)
	}
}

// gpuTable prints on which GPUs code runs.
func (p *picture) gpuTable(gpus []GPURow) {
	rows := [][]string{{"CAPABILITY", "GPUS", "RUNS", "FROM", "DRIVER"}}
	jit := false
	for _, row := range gpus {
		jit = jit || row.Runs == cuda.JIT
		driver := row.Driver
		if driver != "" {
			driver += " on"
		}
		rows = append(rows, []string{row.Capability, row.GPUs, word(words.Runs, string(row.Runs)), row.From, driver})
	}
	p.table("  ", rows, 1)
	if jit {
		p.line("  " + p.paint(dim, words.Runs["jit-note"]))
	}
}

// ShowGPUs prints for people, 80 columns wide, the GPUs on which the code of
// the named runs: a target's, or files'.
func ShowGPUs(w io.Writer, color bool, names []string, rows []GPURow) error {
	p := newPicture(w, color)
	for _, l := range wrap("GPUs, by compute capability, that run the code of "+text(strings.Join(names, ", ")), width) {
		p.line(p.paint(bold, l))
	}
	p.gpuTable(rows)
	return p.w.Flush()
}

// MarkdownNames lists names as code.
func MarkdownNames(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, "`"+strings.ReplaceAll(text(n), "`", "'")+"`")
	}
	return strings.Join(out, ", ")
}

// Markdown prints the GPUs on which code runs as a table for a document.
func Markdown(w io.Writer, rows []GPURow) error {
	if _, err := fmt.Fprint(w, "| compute capability | GPUs | runs | from | driver |\n|---|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, row := range rows {
		driver := row.Driver
		if driver != "" {
			driver += " or newer"
		}
		cells := []string{row.Capability, row.GPUs, word(words.Runs, string(row.Runs)), row.From, driver}
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")); err != nil {
			return err
		}
	}
	return nil
}
