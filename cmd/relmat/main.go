// Command relmat releases Rust + CMake + CUDA programs for every platform of a
// matrix, and proves that what it packed runs.
package main

import (
	"os"

	"github.com/relmat/relmat/internal/cli"
)

func main() { os.Exit(cli.Main()) }
