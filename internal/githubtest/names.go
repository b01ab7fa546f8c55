package githubtest

import (
	"strings"
	"unicode"
)

// storedName is the name that GitHub gives to an asset uploaded as name: what
// is no letter, digit, "-", "_", "+" or "." becomes ".", runs of that collapse,
// and letters of other alphabets are transliterated or replaced. The rules are
// unpublished ("Upload a release asset": GitHub renames asset filenames that
// have special characters, non-alphanumeric characters, and leading or trailing
// periods), so this is like GitHub and not the same; a client has to take the
// name from the answer.
func storedName(name string) string {
	var b strings.Builder
	dot := false
	for _, r := range name {
		text := string(r)
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("-_+@", r):
		case plainLetters[unicode.ToLower(r)] != "":
			text = plainLetters[unicode.ToLower(r)]
			if unicode.IsUpper(r) {
				text = strings.ToUpper(text[:1]) + text[1:]
			}
		default:
			dot = true
			continue
		}
		if dot && b.Len() > 0 {
			b.WriteByte('.')
		}
		dot = false
		b.WriteString(text)
	}
	if b.Len() == 0 {
		return "default"
	}
	return b.String()
}

// plainLetters transliterates some letters; the others become ".".
var plainLetters = map[rune]string{
	'ä': "a", 'á': "a", 'à': "a", 'â': "a", 'å': "a", 'ã': "a", 'ç': "c", 'é': "e", 'è': "e", 'ê': "e", 'ë': "e",
	'í': "i", 'ì': "i", 'î': "i", 'ï': "i", 'ñ': "n", 'ö': "o", 'ó': "o", 'ò': "o", 'ô': "o", 'õ': "o", 'ø': "o",
	'ü': "u", 'ú': "u", 'ù': "u", 'û': "u", 'ý': "y", 'ÿ': "y", 'ß': "ss", 'æ': "ae", 'œ': "oe",
}
