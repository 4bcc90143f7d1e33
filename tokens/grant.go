package tokens

import "fmt"

// Grant is a way to get access tokens without a person.
type Grant int

const (
	// GrantAuto decides once: refresh token if one is configured or stored, else client
	// credentials.
	GrantAuto Grant = iota
	// GrantRefreshToken redeems refresh tokens: the alerts a user who once signed in
	// may see.
	GrantRefreshToken
	// GrantClientCredentials signs in as the application itself.
	GrantClientCredentials
)

var grantNames = [...]string{"auto", "refresh_token", "client_credentials"}

// String is the grant as it is written in a configuration: auto, refresh_token or
// client_credentials.
func (g Grant) String() string {
	if g < 0 || int(g) >= len(grantNames) {
		return fmt.Sprintf("grant(%d)", int(g))
	}

	return grantNames[g]
}

// ParseGrant reads what String writes.
func ParseGrant(s string) (Grant, error) {
	for i, name := range grantNames {
		if s == name {
			return Grant(i), nil
		}
	}

	return 0, fmt.Errorf("grant %q is not one of auto, refresh_token, client_credentials", s)
}
