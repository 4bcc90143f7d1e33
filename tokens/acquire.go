package tokens

import (
	"cmp"
	"strings"

	"fluent-bit-defender/internal/config/plain"
)

// AcquireCommand returns what a person types to sign in: `defenderctl tokens acquire`
// for a tenant and an application. more are further flags, each followed by its value;
// one with an empty value is left out. Words are quoted for a POSIX shell where they
// have to be.
func AcquireCommand(tenantID, clientID string, more ...string) string {
	return acquireCommand("--tenant-id", cmp.Or(tenantID, "TENANT"), clientID, more)
}

// AcquireHomeCommand is AcquireCommand for a sign-in in the provider's own tenant.
func AcquireHomeCommand(homeTenantID, clientID string, more ...string) string {
	return acquireCommand("--home-tenant-id", homeTenantID, clientID, more)
}

func acquireCommand(flag, tenantID, clientID string, more []string) string {
	words := []string{
		"defenderctl",
		"tokens",
		"acquire",
		flag,
		tenantID,
		"--client-id",
		cmp.Or(clientID, "CLIENT"),
	}

	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			words = append(words, more[i], more[i+1])
		}
	}

	for i := range words {
		words[i] = plain.Shell(words[i])
	}

	return strings.Join(words, " ")
}

// acquire returns the command that signs in for a.
func (a App) acquire() string {
	switch {
	case a.Acquire != nil:
		return a.Acquire()
	case a.Home != "":
		return AcquireHomeCommand(a.Home, a.ClientID)
	}

	return AcquireCommand(a.TenantID, a.ClientID)
}
