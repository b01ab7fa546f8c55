package objfile

import (
	"crypto"
	"os"
)

// OpenAuthenticode is VerifyAuthenticode of the file at path.
func OpenAuthenticode(path string) (*Authenticode, error) {
	f, size, err := openSized(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return VerifyAuthenticode(f, size)
}

// OpenAuthenticodeDigest is AuthenticodeDigest of the file at path.
func OpenAuthenticodeDigest(path string, hash crypto.Hash) ([]byte, error) {
	f, size, err := openSized(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return AuthenticodeDigest(f, size, hash)
}

// openSized opens a file and tells its size in bytes.
func openSized(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}
