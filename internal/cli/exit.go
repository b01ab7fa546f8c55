package cli

import (
	"context"
	"errors"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/publish"
	"github.com/relmat/relmat/internal/smoke"
	"github.com/relmat/relmat/internal/verify"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2 // wrong usage or configuration
	exitFindings    = 3 // an error of verification stands
	exitAuth        = 4 // the token is missing, wrong, or has too few rights
	exitSmoke       = 5
	exitInterrupted = 130
)

// usageError is a wrong command line; the usage is printed with it.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// configError is a configuration that is wrong.
type configError struct{ error }

func (e *configError) Unwrap() error { return e.error }

func exitCode(ctx context.Context, err error) int {
	var (
		usage  *usageError
		config *configError
		file   *matrix.Error
		sel    *matrix.SelectionError
		failed *smoke.Error
		found  *verify.Error
		target *pipeline.TargetError
	)
	switch {
	case errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &config), errors.As(err, &file), errors.As(err, &sel), errors.As(err, &target):
		return exitUsage
	case errors.Is(err, publish.ErrRepo), errors.Is(err, publish.ErrNames):
		return exitUsage
	case errors.Is(err, publish.ErrAuth):
		return exitAuth
	case errors.As(err, &found):
		return exitFindings
	case errors.As(err, &failed):
		return exitSmoke
	}
	return exitFailed
}
