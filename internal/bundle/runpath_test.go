package bundle

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

func TestRunPath(t *testing.T) {
	wheels := func() []string { return []string{"nvidia/cu13/lib", "nvidia/cudnn/lib"} }
	for _, tt := range []struct{ system, style, programs, libraries, want string }{
		{"linux", "", "bin", "lib", "$ORIGIN/../lib"},
		{"linux", "", ".", "lib", "$ORIGIN/lib"},
		{"linux", "", ".", ".", "$ORIGIN"},
		{"linux", "", "a/b", "c/d", "$ORIGIN/../../c/d"},
		{"linux", "", "bin", "bin", "$ORIGIN"},
		{"linux", "", "bin", "bin/lib", "$ORIGIN/lib"},
		{"linux", "flat", "", "", "$ORIGIN"},
		{"linux", "wheels", "", "", "$ORIGIN/../nvidia/cu13/lib:$ORIGIN/../nvidia/cudnn/lib:$ORIGIN/../lib"},
		{"linux", "wheels", "mlx/bin", "nvidia/cudnn/lib", "$ORIGIN/../../nvidia/cu13/lib:$ORIGIN/../../nvidia/cudnn/lib"},
		{"macos", "", "", "", "@executable_path/../lib"},
		{"macos", "flat", "", "", "@executable_path"},
		{"windows", "mlx-windows", "", "", ""},
	} {
		p := matrix.Package{Layout: matrix.Layout{Style: tt.style, Programs: tt.programs, Libraries: tt.libraries}}
		if got := strings.Join(RunPath(tt.system, p.LayoutOf(), wheels), ":"); got != tt.want {
			t.Errorf("RunPath of %+v is %q, want %q", tt, got, tt.want)
		}
	}
}

func TestPrebuiltPath(t *testing.T) {
	for _, tt := range []struct {
		layout matrix.Layout
		from   matrix.From
		want   string
	}{
		{matrix.Layout{}, matrix.From{Toolkit: "mlx/lib/libmlx.so"}, "bin/libmlx.so"},
		{matrix.Layout{}, matrix.From{Source: "vendor/x/tool.exe"}, "bin/tool.exe"},
		{matrix.Layout{Style: "wheels"}, matrix.From{Toolkit: "mlx/lib/libmlx.so"}, "mlx/lib/libmlx.so"},
		{matrix.Layout{Style: "wheels"}, matrix.From{Source: "mlx/lib/libmlx.so"}, "bin/libmlx.so"},
		{matrix.Layout{Style: "wheels", Programs: "."}, matrix.From{Toolkit: "mlx/lib/libmlx.so"}, "libmlx.so"},
		{matrix.Layout{Style: "mlx-windows"}, matrix.From{Toolkit: "mlx/mlx.dll"}, "bin/mlx.dll"},
	} {
		if got := PrebuiltPath(matrix.Package{Layout: tt.layout}, tt.from); got != tt.want {
			t.Errorf("%+v of %+v lies at %s, want %s", tt.from, tt.layout, got, tt.want)
		}
	}
}
