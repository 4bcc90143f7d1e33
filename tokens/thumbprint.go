package tokens

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// sha1Hex returns the thumbprint by which the Entra portal lists certificates. It only
// identifies a certificate; nothing relies on its strength.
func sha1Hex(der []byte) string {
	sum := sha1.Sum(der)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
