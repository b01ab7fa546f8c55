package pipeline

import (
	"context"
	"fmt"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

// windowsHost finds what a Windows host has for a row of Microsoft's compiler;
// it is empty for all others. env is the environment of the row's build.
func (s *Session) windowsHost(ctx context.Context, row matrix.Row, env []string, host matrix.Platform, readOnly bool) toolchain.WindowsHost {
	w := toolchain.WindowsHost{Env: s.Env}
	if toolchain.NeedsMSVC(row, host) {
		w.MSVC, w.Err = s.msvcFinder(row, env, host, readOnly).Find(ctx, row.Platform)
	}
	return w
}

// msvcFinder finds the compiler for a row: one that the row's nvcc takes, where
// there is an nvcc. Only a build may write the cache.
func (s *Session) msvcFinder(row matrix.Row, env []string, host matrix.Platform, readOnly bool) toolchain.MSVCFinder {
	f := toolchain.MSVCFinder{Host: host, Env: s.Env, Cache: s.Cache, ReadOnly: readOnly}
	if nvcc, ok := s.nvcc(row, host); ok {
		f.Takes = nvcc.TakesMSVC(env)
	}
	return f
}

// hostEnv adds to a build's environment what the host has installed for it: on
// Windows Microsoft's compiler, and NVIDIA's toolkit where the row names none.
// Elsewhere it is the environment as it was.
func hostEnv(env []string, row matrix.Row, host matrix.Platform, w toolchain.WindowsHost) ([]string, error) {
	if toolchain.UsesHostCUDA(row, host) {
		cuda, err := toolchain.FindHostCUDA(w.Env)
		if err != nil {
			return nil, err
		}
		env = cuda.BuildEnv(env, w.Env, row)
	}
	if w.MSVC != nil {
		env = w.MSVC.BuildEnv(env, row, host)
	}
	return env, nil
}

// compilerEnv is hostEnv of this host, and an error where the row's compiler is
// not there or nvcc does not take it: after hours of building is too late.
func (s *Session) compilerEnv(ctx context.Context, row matrix.Row, env []string, host matrix.Platform) ([]string, error) {
	if !toolchain.NeedsMSVC(row, host) {
		return env, nil
	}
	w := s.windowsHost(ctx, row, env, host, false)
	doctor := &toolchain.Doctor{Host: host, Dir: s.Source, Timeout: doctorTimeout}
	b := toolchain.Build{Row: row, Env: env, Windows: w}
	if err := doctor.Explain(b); err != nil {
		return nil, err
	}
	env, err := hostEnv(env, row, host, w)
	if err != nil {
		return nil, err
	}
	nvcc, ok := s.nvcc(row, host)
	if !ok || nvcc.Header == "" {
		return env, nil
	}
	b.Env = env
	if c := doctor.HostCompiler(ctx, b, nvcc); c.Blocks {
		return nil, fmt.Errorf("nvcc of %s takes MSVC toolset %s, this host's is %s (%s); get it: %s", nvcc.Of, c.Needed, c.Found, c.Detail, c.Get)
	}
	return env, nil
}

// nvcc is the CUDA compiler that the row's build calls on the host: that of the
// row's toolkit, or of the one that a Windows host has. There is none to ask where
// the row names no toolkit, or the host's is not there or keeps silent.
func (s *Session) nvcc(row matrix.Row, host matrix.Platform) (n toolchain.NVCC, ok bool) {
	switch {
	case row.Toolkit != "":
		_, hostTk := s.findToolkits(row, host)
		return toolchain.NVCC{Of: "toolkit " + row.Toolkit, Header: hostTk.hostConfig()}, true
	case toolchain.UsesHostCUDA(row, host):
		if cuda, err := toolchain.FindHostCUDA(s.Env); err == nil {
			return cuda.NVCC()
		}
	}
	return n, false
}
