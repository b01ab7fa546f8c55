package sign

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/proc"
)

// maxSecret bounds a secret, in bytes; keystores have some kilobytes.
const maxSecret = 1 << 20

// Secrets remembers what came out of file descriptors, which can be read only
// once.
type Secrets struct {
	mu  sync.Mutex
	fds map[string]string
	// kept are descriptors that could not be read: they may be somebody else's
	// in this process, and a file that is forgotten is closed.
	kept []*os.File
}

// text reads a secret of one line: env:VARIABLE, file:PATH or fd:NUMBER, as
// OpenSSL writes them (openssl-passphrase-options).
func (s *Secrets) text(ref, dir string, env []string) (string, error) {
	kind, name, _ := strings.Cut(ref, ":")
	var value string
	var err error
	switch kind {
	case "env":
		if value = proc.Getenv(env, name); value == "" {
			return "", fmt.Errorf("the variable %s is not set; set it to the secret for this command alone", name)
		}
	case "file":
		value, err = privateFile(name, dir)
	case "fd":
		value, err = s.descriptor(name)
	default:
		err = errors.New("it does not say where the secret is")
	}
	if err != nil {
		return "", err
	}
	value, _, _ = strings.Cut(value, "\n")
	if value = strings.TrimSuffix(value, "\r"); value == "" {
		return "", fmt.Errorf("%s is empty", ref)
	}
	return value, nil
}

// descriptor reads a file descriptor to its end, once.
func (s *Secrets) descriptor(number string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok := s.fds[number]; ok {
		return value, nil
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || runtime.GOOS == "windows" && n > 2 {
		return "", fmt.Errorf("file descriptor %s cannot be read on this system; use env:NAME or file:PATH instead", number)
	}
	f := os.NewFile(uintptr(n), "fd:"+number)
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		s.kept = append(s.kept, f)
		return "", fmt.Errorf("file descriptor %s: %w; the command opens it with %s<FILE", number, err, number)
	}
	_ = f.Close()
	if s.fds == nil {
		s.fds = map[string]string{}
	}
	s.fds[number] = string(data)
	return string(data), nil
}

// private refuses a file that others than its owner can read. On Windows rights
// are no mode, and are not asked.
func private(name string, info os.FileInfo) error {
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others can read %s (mode %#o); chmod 600 it", name, info.Mode().Perm())
	}
	return nil
}

// privateFile reads a file that nobody but its owner can read.
func privateFile(name, dir string) (string, error) {
	name = filepath.FromSlash(name)
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := private(name, info); err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	return string(data), err
}

// readKeystore finds the keystore's file, or puts one that a variable holds
// where only this user can read it. It is encrypted by its password besides.
func (t *Tool) readKeystore() error {
	s := t.o.Sign
	if s.Keystore == "" || s.Tool == "command" || !s.StoresFile() {
		return nil
	}
	kind, name, _ := strings.Cut(s.Keystore, ":")
	if kind == "file" {
		t.keystore = t.path(name)
		info, err := os.Stat(t.keystore)
		if err != nil {
			return err
		}
		// Its password alone keeps the key then, and can be tried at leisure.
		if err := private(t.keystore, info); err != nil {
			return err
		}
		sum, _, err := fsx.SHA256File(t.keystore)
		t.identity = append(t.identity, "keystore "+sum)
		return err
	}
	value := proc.Getenv(t.o.Env, name)
	if value == "" {
		return fmt.Errorf("the variable %s is not set; it is to hold the keystore in base64", name)
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
	if err != nil {
		return fmt.Errorf("the variable %s does not hold base64 (base64 -w0 FILE.p12 writes it)", name)
	}
	dir, err := t.privateDir()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	t.identity = append(t.identity, "keystore "+hex.EncodeToString(sum[:]))
	t.keystore = filepath.Join(dir, "keystore.p12")
	return os.WriteFile(t.keystore, data, 0o600)
}
