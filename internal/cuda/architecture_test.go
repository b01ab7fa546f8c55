package cuda

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestParseArchitectures(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []Architecture
	}{
		{"80", []Architecture{{"80", "", true, true}}},
		{"80-real", []Architecture{{"80", "", true, false}}},
		{"90-virtual", []Architecture{{"90", "", false, true}}},
		{"90a", []Architecture{{"90", "a", true, true}}},
		{"90a-real", []Architecture{{"90", "a", true, false}}},
		{"100f-virtual", []Architecture{{"100", "f", false, true}}},
		{"80-real;80-virtual", []Architecture{{"80", "", true, false}, {"80", "", false, true}}},
		{"90;90a", []Architecture{{"90", "", true, true}, {"90", "a", true, true}}},
		{
			"80-real;86-real;89-real;90a-real;100a-real;120a-real;121a-real;121-virtual",
			[]Architecture{{"80", "", true, false}, {"86", "", true, false}, {"89", "", true, false}, {"90", "a", true, false}, {"100", "a", true, false}, {"120", "a", true, false}, {"121", "a", true, false}, {"121", "", false, true}},
		},
	} {
		got, err := ParseArchitectures(tt.list)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s is %+v, %v; want %+v", tt.list, got, err, tt.want)
		}
	}
}

func TestParseArchitecturesErrors(t *testing.T) {
	const form = " is no architecture; write them like 80-real;86;90a"
	const machine = " depends on the build machine or on nvcc; name the architectures, such as 80-real;86;90a"
	const empty = "an entry is empty; put one semicolon between architectures, as in 80-real;86;90a"
	for list, want := range map[string]string{
		"":                      empty,
		";":                     empty,
		"80;":                   empty,
		"80;;90":                empty,
		"native":                `"native"` + machine,
		"all":                   `"all"` + machine,
		"80;all-major":          `"all-major"` + machine,
		"8":                     `"8"` + form,
		"8.0":                   `"8.0"` + form,
		"080":                   `"080"` + form,
		"8000":                  `"8000"` + form,
		"sm_80":                 `"sm_80"` + form,
		"80,90":                 `"80,90"` + form,
		"80 90":                 `"80 90"` + form,
		" 80":                   `" 80"` + form,
		"80\n":                  `"80\n"` + form,
		"80real":                `"80real"` + form,
		"80-Real":               `"80-Real"` + form,
		"80-real-virtual":       `"80-real-virtual"` + form,
		"90A":                   `"90A"` + form,
		"90b":                   `"90b"` + form,
		"OFF":                   `"OFF"` + form,
		"80a":                   `"80a" does not exist, the first architecture with the suffix a is 90; write 80`,
		"90f-real":              `"90f-real" does not exist, the first architecture with the suffix f is 100; write 90-real`,
		"90a;80;90a":            `"90a" stands twice; take one out`,
		"80-real;80":            `"80-real" and "80" both make machine code for 80; take one out`,
		"80;80-virtual":         `"80" and "80-virtual" both make PTX for 80; take one out`,
		"80-real;80-virtual;80": `"80-real" and "80" both make machine code for 80; take one out`,
		"90a-virtual;90;90a":    `"90a-virtual" and "90a" both make PTX for 90a; take one out`,
	} {
		got, err := ParseArchitectures(list)
		if err == nil || err.Error() != want || got != nil {
			t.Errorf("%q is %+v and the error\n%v\nwant\n%s", list, got, err, want)
		}
	}
}

// FuzzParseArchitectures wants of every list that is taken that it can be
// written back and that nothing in it is made twice.
func FuzzParseArchitectures(f *testing.F) {
	for _, s := range []string{"80-real;86;90a", "native", "", ";", "100f-virtual", "80;80-real", "sm_90", "٩٠", "90a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		all, err := ParseArchitectures(list)
		if err != nil {
			if all != nil || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Errorf("%q gives %v and the error %q", list, all, err)
			}
			return
		}
		var back []string
		real, virtual := map[string]bool{}, map[string]bool{}
		for _, a := range all {
			if _, err := strconv.Atoi(a.Number); err != nil || !a.Real && !a.Virtual || a.Real && real[a.Name()] || a.Virtual && virtual[a.Name()] {
				t.Errorf("%q has %+v", list, a)
			}
			real[a.Name()] = real[a.Name()] || a.Real
			virtual[a.Name()] = virtual[a.Name()] || a.Virtual
			text := a.Name()
			switch {
			case !a.Virtual:
				text += "-real"
			case !a.Real:
				text += "-virtual"
			}
			back = append(back, text)
		}
		if got := strings.Join(back, ";"); got != list {
			t.Errorf("%q is written back as %q", list, got)
		}
	})
}

func TestArchitectureTable(t *testing.T) {
	if len(architectures.Compiles) == 0 || len(architectures.Tegra) == 0 {
		t.Fatal("a part of the table is empty")
	}
	for release, numbers := range architectures.Compiles {
		if got, ok := Compiles(release); !ok || len(got) == 0 {
			t.Errorf("CUDA %s compiles for %q, %v", release, got, ok)
		}
		last := 0
		for _, text := range numbers {
			list, err := ParseArchitectures(text)
			n, nerr := strconv.Atoi(text)
			if err != nil || nerr != nil || list[0].Name() != text || n <= last {
				t.Errorf("CUDA %s: %q after %d is no architecture in order: %v", release, text, last, err)
			}
			last = n
		}
	}
	for _, text := range append(slices.Collect(maps.Keys(architectures.GPUs)), architectures.Tegra...) {
		if list, err := ParseArchitectures(text); err != nil || list[0].Name() != text {
			t.Errorf("%q is no architecture: %v", text, err)
		}
	}
	for _, release := range []string{"", "13", "13.0.2", "11.8", "99.0"} {
		if numbers, ok := Compiles(release); ok {
			t.Errorf("CUDA %q compiles for %q", release, numbers)
		}
	}
}

// TestFactsOfArchitectures are from "CUDA GPU Compute Capability" (NVIDIA) and
// the release notes of CUDA 13.0, which took Maxwell, Pascal and Volta out.
func TestFactsOfArchitectures(t *testing.T) {
	numbers, _ := Compiles("13.0")
	for number, want := range map[string]struct {
		in13, tegra bool
		gpu         string
	}{
		"70": {false, false, ""}, "75": {true, false, "T4"}, "80": {true, false, "A100"}, "87": {true, true, "Jetson Orin"},
		"90": {true, false, "GH200"}, "110": {true, true, "Jetson"}, "121": {true, false, "GB10"}, "52": {false, false, ""},
	} {
		a := Architecture{Number: number, Suffix: "a"}
		if got := slices.Contains(numbers, number); got != want.in13 {
			t.Errorf("CUDA 13.0 compiles for %s: %v", number, got)
		}
		if a.IsTegra() != want.tegra || !strings.Contains(a.GPUs(), want.gpu) {
			t.Errorf("%s is of Tegra: %v, of %q", number, a.IsTegra(), a.GPUs())
		}
	}
}
