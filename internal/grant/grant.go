// Package grant names the ways to get access tokens without a person. The configuration
// reads them, and the sign-in uses them.
package grant

import (
	"fmt"
	"slices"
	"strings"
)

// Grant is a way to get access tokens, spelled as the key `grant` has it.
type Grant string

// The grants.
const (
	// Auto is decided once: RefreshToken if a refresh token is configured or stored, else
	// ClientCredentials.
	Auto Grant = "auto"
	// RefreshToken redeems refresh tokens of a user who signed in once. It reads the
	// alerts that this user may see.
	RefreshToken Grant = "refresh_token"
	// ClientCredentials signs in as the application itself.
	ClientCredentials Grant = "client_credentials"
)

// Names returns the values of the key `grant`, the default first.
func Names() []string {
	return []string{
		string(Auto),
		string(RefreshToken),
		string(ClientCredentials),
	}
}

// Parse reads a value of the key `grant`. An empty one is Auto.
func Parse(s string) (Grant, error) {
	if s == "" {
		return Auto, nil
	}

	if !slices.Contains(Names(), s) {
		return "", fmt.Errorf("grant %.64q is not one of %s", s, strings.Join(Names(), ", "))
	}

	return Grant(s), nil
}
