package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/toolchain"
)

const markerName = ".relmat-native"

// purgeStaleNative removes the native crates' build directories when what they
// were configured with has changed: CMake keeps its cache across such changes
// and Cargo cannot see into it. The marker is written between the removal and
// the build: whenever this is interrupted, what lies there was made after the
// marker that lies beside it.
func (o Options) purgeStaleNative(ctx context.Context, tools []toolchain.Tool) error {
	if len(o.Row.Native.Crates) == 0 {
		return nil
	}
	ids, err := toolchain.Identity(ctx, tools, o.Env)
	if err != nil {
		return err
	}
	facts := append([]string{
		"toolkit: " + o.toolkit(),
		"architectures: " + o.Row.CUDA.Architectures,
		"cpu: " + o.Row.CPU.Level,
		"crates: " + strings.Join(o.Row.Native.Crates, " "),
	}, ids...)
	for _, d := range o.DelayLoad {
		facts = append(facts, "delay load "+d.Name+": "+d.Dir)
	}
	for _, k := range o.Row.Env.Keys {
		facts = append(facts, "env "+k+": "+o.Row.Env.Values[k])
	}
	for _, k := range []string{"CC", "CXX", "CFLAGS", "CXXFLAGS", "CUDAFLAGS", "CUDAHOSTCXX"} {
		for _, kv := range o.Env {
			if strings.HasPrefix(kv, k+"=") {
				facts = append(facts, kv)
			}
		}
	}
	for _, pin := range o.Row.Native.Pins {
		facts = append(facts, "pin "+pin+": "+o.Pins[pin])
	}
	want := strings.Join(facts, "\n") + "\n"
	marker := filepath.Join(o.TargetDir, o.Row.Triple, markerName)
	have, err := os.ReadFile(marker)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	reason := changed(string(have), want)
	if info, serr := os.Stat(marker); serr == nil && string(have) == want {
		age := time.Since(info.ModTime())
		if o.Row.Native.MaxAge == 0 || age <= o.Row.Native.MaxAge {
			return nil
		}
		reason = fmt.Sprintf("they are %s old, native.max-age is %s", hours(age), hours(o.Row.Native.MaxAge))
	}
	if err == nil {
		o.Task.Note("the native builds of %s are stale: %s", strings.Join(o.Row.Native.Crates, ", "), reason)
		if err := fsx.Remove(marker); err != nil {
			return err
		}
	}
	if _, err := os.Stat(o.TargetDir); err == nil {
		args := []string{"clean", "--profile", o.Row.Profile, "--target", o.Row.Triple}
		for _, c := range o.Row.Native.Crates {
			args = append(args, "--package", c)
		}
		if err := o.cargo(args...).Run(ctx); err != nil {
			return fmt.Errorf("removing stale native builds: %w", err)
		}
	}
	return fsx.WriteFile(marker, []byte(want), 0o644)
}

// toolkit is the CUDA toolkit of the build in words that change with it: its
// digest, or of one that the host has installed, which an update replaces in
// place, the version and the directory.
func (o Options) toolkit() string {
	home := proc.Getenv(o.Env, "CUDA_HOME")
	if o.Toolkit != "" || home == "" {
		return o.Toolkit
	}
	return strings.TrimSpace("CUDA "+toolchain.CUDAVersion(home)) + " in " + home
}

// changed names the first difference between two markers.
func changed(have, want string) string {
	old := strings.Split(have, "\n")
	for i, line := range strings.Split(want, "\n") {
		switch {
		case i < len(old) && old[i] == line:
		case line == "": // want has ended
			return "no longer " + old[i]
		default:
			return "now " + line
		}
	}
	return "other settings"
}

// hours writes a duration to the minute, without the parts that are 0: 168h.
func hours(d time.Duration) string {
	text := strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		return short + "h"
	}
	return text
}
