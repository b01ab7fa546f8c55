package objfile

import "os"

// OpenAuthenticode is VerifyAuthenticode of the file at path.
func OpenAuthenticode(path string) (*Authenticode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return VerifyAuthenticode(f, info.Size())
}
