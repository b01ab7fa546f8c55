package smoke

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
)

// tries is how often an input is asked for before giving up.
const tries = 4

// Inputs fetches the matrix's pinned inputs into a cache directory.
type Inputs struct {
	Cache string
	// Client is http.DefaultClient if nil; Pause is waited after the first
	// failed try and doubled after each.
	Client *http.Client
	Pause  time.Duration
}

// Fetch returns the path of the input's file, whose digest is that of the
// matrix. What the server says is never trusted for it.
func (i Inputs) Fetch(ctx context.Context, in matrix.Input, task *progress.Task) (string, error) {
	in.SHA256 = strings.ToLower(in.SHA256)
	dir := filepath.Join(i.Cache, "inputs", in.SHA256)
	path := filepath.Join(dir, in.Name())
	there := func() bool {
		sum, _, err := fsx.SHA256File(path)
		return err == nil && sum == in.SHA256
	}
	if there() {
		return path, nil
	}
	unlock, err := fsx.Lock(ctx, filepath.Join(i.Cache, "locks", "input-"+in.SHA256[:16]+".lock"), func() {
		task.Note("another relmat is fetching %s; waiting for it", in.Name())
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if there() { // the other relmat brought it
		return path, nil
	}
	if err := fsx.RemovePartials(dir); err != nil {
		return "", err
	}
	pause := i.Pause
	if pause == 0 {
		pause = time.Second
	}
	for n := 1; ; n++ {
		err = i.get(ctx, in, path, task)
		var perm permanentError
		if err == nil || ctx.Err() != nil || errors.As(err, &perm) || n == tries {
			break
		}
		task.Note("fetching %s: %v; trying again", in.Name(), err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w", in.URL, err)
	}
	return path, nil
}

// permanentError is one that another try would meet again.
type permanentError struct{ error }

func (i Inputs) get(ctx context.Context, in matrix.Input, path string, task *progress.Task) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL, nil)
	if err != nil {
		return permanentError{err}
	}
	client := i.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return fmt.Errorf("the server answered %s", res.Status)
	case res.StatusCode != http.StatusOK:
		return permanentError{fmt.Errorf("the server answered %s", res.Status)}
	}
	if res.ContentLength > 0 {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return permanentError{err}
		}
		if free, err := fsx.FreeSpace(filepath.Dir(path)); err == nil && free < uint64(res.ContentLength) {
			return permanentError{fmt.Errorf("too little disk space in %s: %s are needed, %s are free", i.Cache, progress.Bytes(res.ContentLength), progress.Bytes(int64(free)))}
		}
	}
	return fsx.WriteTo(path, 0o644, func(w io.Writer) error {
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, h, task.Counter(res.ContentLength)), res.Body); err != nil {
			return err
		}
		if sum := hex.EncodeToString(h.Sum(nil)); sum != in.SHA256 {
			return permanentError{fmt.Errorf("it has SHA-256 %s, the matrix pins %s", sum, in.SHA256)}
		}
		return nil
	})
}
