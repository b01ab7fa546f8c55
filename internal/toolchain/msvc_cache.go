package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/proc"
)

// msvcVersion changes with the form of the cached files and with what is
// captured.
const msvcVersion = 1

// environment is capture with a memory: vcvarsall.bat takes seconds, and its
// answer depends on what the key holds.
func (f MSVCFinder) environment(ctx context.Context, vs VisualStudio, argument string) (*MSVC, error) {
	if f.Cache == "" {
		return f.capture(ctx, vs, argument)
	}
	file := filepath.Join(f.Cache, "msvc", f.cacheKey(vs, argument)+".json")
	if data, err := os.ReadFile(file); err == nil {
		var m MSVC
		// A file that is damaged, or of tools that are gone, is written anew.
		if json.Unmarshal(data, &m) == nil && m.Argument == argument && m.complete("") == nil {
			return &m, nil
		}
	}
	m, err := f.capture(ctx, vs, argument)
	if err != nil || f.ReadOnly {
		return m, err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return m, fsx.WriteFile(file, append(data, '\n'), 0o644)
}

// cacheKey is of all that the answer depends on: the installation, the batch file
// and what it is called with, the toolsets and which is the default, the SDKs, and
// what of the environment it sees.
func (f MSVCFinder) cacheKey(vs VisualStudio, argument string) string {
	facts := []any{msvcVersion, vs, argument, vs.toolsets(), f.captureEnv()}
	for _, path := range []string{vs.toolsetFile(), vs.vcvarsall()} {
		data, _ := os.ReadFile(path)
		facts = append(facts, string(data))
		if info, err := os.Stat(path); err == nil {
			facts = append(facts, info.ModTime().UnixNano())
		}
	}
	for _, name := range []string{"ProgramFiles(x86)", "ProgramFiles"} {
		sdks := filepath.Join(proc.Getenv(f.Env, name), "Windows Kits", "10", "Include")
		entries, _ := os.ReadDir(sdks)
		for _, e := range entries {
			facts = append(facts, strings.ToLower(e.Name()))
		}
	}
	data, err := json.Marshal(facts)
	if err != nil {
		panic("toolchain: " + err.Error()) // text and numbers alone
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
