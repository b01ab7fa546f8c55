package sign

import (
	_ "embed"
	"strings"
)

//go:embed smartscreen.md
var smartScreen string

// SmartScreen is what users of unsigned programs for Windows must know, for the
// notes of a release. Markdown, one paragraph.
func SmartScreen() string { return strings.TrimSpace(smartScreen) }
