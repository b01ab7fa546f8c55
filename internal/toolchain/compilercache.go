package toolchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// compilerCache is what there is to know of one.
type compilerCache struct {
	// variables make a build use it, prefix is that of its own settings.
	variables []string
	prefix    string
	// stats are the arguments that make it print its statistics, parse reads
	// them.
	stats []string
	parse func(out string) (cacheStats, error)
}

// CMake reads the launchers of each language when it configures first
// ("CMAKE_<LANG>_COMPILER_LAUNCHER", environment variable, CMake's
// documentation).
var launchers = []string{"CMAKE_C_COMPILER_LAUNCHER", "CMAKE_CXX_COMPILER_LAUNCHER", "CMAKE_CUDA_COMPILER_LAUNCHER"}

var compilerCaches = map[string]compilerCache{
	"sccache": {
		variables: append([]string{"RUSTC_WRAPPER"}, launchers...), prefix: "SCCACHE_",
		stats: []string{"--show-stats", "--stats-format", "json"}, parse: parseSccache,
	},
	// It does not know rustc.
	"ccache": {variables: launchers, prefix: "CCACHE_", stats: []string{"--print-stats"}, parse: parseCcache},
}

// CompilerCacheVariables are what makes a build use the compiler cache of that
// name.
func CompilerCacheVariables(name string) []Variable {
	var vars []Variable
	for _, v := range compilerCaches[name].variables {
		vars = append(vars, Variable{v, name})
	}
	return vars
}

// CompilerCache is a compiler cache at work in a build; nil is none.
type CompilerCache struct {
	Name string

	env    []string
	before cacheStats
}

// UseCompilerCache adds to the build's environment what makes it use the
// compiler cache that the row names, and the host's settings of that cache. A
// cache that is not there, or that does not answer, is left out with a note: it
// saves time and decides nothing. targetDir is Cargo's, of which CMake's caches
// forget another compiler cache.
func UseCompilerCache(ctx context.Context, row matrix.Row, host, env []string, targetDir string, note func(string, ...any)) (*CompilerCache, []string, error) {
	c := startCompilerCache(ctx, row, host, env, note)
	keep := ""
	if c != nil {
		keep, env = c.Name, c.env
	}
	if err := forgetLaunchers(targetDir, keep); err != nil {
		return nil, nil, fmt.Errorf("taking the compiler cache of an earlier build out of CMake's cache: %w", err)
	}
	return c, env, nil
}

func startCompilerCache(ctx context.Context, row matrix.Row, host, env []string, note func(string, ...any)) *CompilerCache {
	name := row.CompilerCache
	kind, ok := compilerCaches[name]
	if !ok {
		return nil
	}
	if _, err := proc.LookPath(name, env); err != nil {
		note("compiler cache %s is not in PATH; building without it", name)
		return nil
	}
	env = slices.Clone(env)
	// What the matrix sets itself stays as it is.
	add := func(name, value string) {
		if _, ok := row.Env.Values[name]; !ok {
			env = append(env, name+"="+value)
		}
	}
	for _, kv := range host {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, kind.prefix) {
			add(k, v)
		}
	}
	for _, v := range CompilerCacheVariables(name) {
		add(v.Name, v.Value)
	}
	c := &CompilerCache{Name: name, env: env}
	var err error
	if c.before, err = c.stats(ctx); err != nil {
		if ctx.Err() == nil {
			note("compiler cache %s does not work; building without it: %v", name, err)
		}
		return nil
	}
	return c
}

// HitRate says, for the end of a summary, how many of the build's compilations
// the cache answered. The cache counts for all that uses it: what compiles
// beside this build counts too.
func (c *CompilerCache) HitRate(ctx context.Context) string {
	if c == nil {
		return ""
	}
	after, err := c.stats(ctx)
	hits, misses := after.hits-c.before.hits, after.misses-c.before.misses
	switch total := hits + misses; {
	case err != nil || hits < 0 || misses < 0: // a server that was started anew counts from 0
		return fmt.Sprintf(", %s did not count", c.Name)
	case total == 0:
		return fmt.Sprintf(", %s not asked", c.Name)
	default:
		rate := (200*hits/total + 1) / 2
		if hits < total {
			rate = min(rate, 99)
		}
		return fmt.Sprintf(", %s %d %% of %d", c.Name, rate, total)
	}
}

// cacheStats are counted since the cache, or its server, began.
type cacheStats struct{ hits, misses int64 }

func (c *CompilerCache) stats(ctx context.Context) (cacheStats, error) {
	kind := compilerCaches[c.Name]
	out, err := proc.Cmd{Path: c.Name, Args: kind.stats, Env: c.env, Dir: os.TempDir(), Secrets: proc.Secrets(c.env)}.Output(ctx)
	if err != nil {
		return cacheStats{}, err
	}
	return kind.parse(out)
}

// parseSccache reads the statistics of sccache, which counts by language.
func parseSccache(out string) (cacheStats, error) {
	type counts struct {
		Counts map[string]int64 `json:"counts"`
	}
	var s struct {
		Stats *struct {
			Hits   counts `json:"cache_hits"`
			Misses counts `json:"cache_misses"`
		} `json:"stats"`
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return cacheStats{}, fmt.Errorf("sccache's statistics: %w", err)
	}
	if s.Stats == nil {
		return cacheStats{}, errors.New("sccache's statistics have no stats")
	}
	var sum cacheStats
	for _, n := range s.Stats.Hits.Counts {
		sum.hits += n
	}
	for _, n := range s.Stats.Misses.Counts {
		sum.misses += n
	}
	return sum, nil
}

// parseCcache reads the statistics of ccache: a name, a tab and a number on
// each line.
func parseCcache(out string) (cacheStats, error) {
	var sum cacheStats
	counters := map[string]*int64{"direct_cache_hit": &sum.hits, "preprocessed_cache_hit": &sum.hits, "cache_miss": &sum.misses}
	seen := 0
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		counter, ok := counters[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return cacheStats{}, fmt.Errorf("ccache's statistics: %s: %w", name, err)
		}
		*counter += n
		seen++
	}
	if seen < len(counters) {
		return cacheStats{}, errors.New("ccache's statistics lack hits or misses; it needs ccache 3.7 or newer")
	}
	return sum, nil
}

// cmakeCaches are where build scripts that run CMake leave its cache, by the
// layout of Cargo's target directory, with and without a triple, and of the
// crate cmake.
var cmakeCaches = []string{
	"*/build/*/out/build/CMakeCache.txt", "*/build/*/out/*/build/CMakeCache.txt",
	"*/*/build/*/out/build/CMakeCache.txt", "*/*/build/*/out/*/build/CMakeCache.txt",
}

// launcherEntry is a launcher in CMake's cache as the variables of a compiler
// cache put it there, with the help above it: CMake wants an entry after each.
var launcherEntry = regexp.MustCompile(`(?m)^(?://.*\r?\n)*CMAKE_[A-Z]+_COMPILER_LAUNCHER:[A-Z]+=(sccache|ccache)\r?\n`)

// forgetLaunchers takes compiler caches other than keep out of CMake's caches
// below Cargo's target directory. CMake remembers the launcher that it was
// first configured with; without it, where that program is gone, an unfinished
// native build could not go on. What is compiled already stays.
func forgetLaunchers(targetDir, keep string) error {
	tree := os.DirFS(targetDir)
	for _, pattern := range cmakeCaches {
		paths, err := fs.Glob(tree, pattern)
		if err != nil {
			return err
		}
		for _, p := range paths {
			old, err := fs.ReadFile(tree, p)
			if err != nil {
				return err
			}
			text := launcherEntry.ReplaceAllFunc(old, func(line []byte) []byte {
				if string(launcherEntry.FindSubmatch(line)[1]) == keep {
					return line
				}
				return nil
			})
			if bytes.Equal(text, old) {
				continue
			}
			if err := fsx.WriteFile(filepath.Join(targetDir, filepath.FromSlash(p)), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
