package tokens

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// sha1Hex is the thumbprint by which the Entra portal lists certificates. It
// identifies, it protects nothing.
func sha1Hex(der []byte) string {
	sum := sha1.Sum(der)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
