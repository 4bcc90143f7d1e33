package plain

import "strings"

// Shell returns a word, quoted if necessary, so that a POSIX shell reads it unchanged.
// It is for commands and paths that a person copies from a message.
func Shell(word string) string {
	special := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
			!strings.ContainsRune("-_./:@%+=,", r)
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}

	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
