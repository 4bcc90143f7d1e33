package lease

import (
	"fmt"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
)

// count returns "1 unit", "2 units" and so on.
func count(n int) string {
	if n == 1 {
		return "1 unit"
	}

	return fmt.Sprintf("%d units", n)
}

// mostNames bounds how many tenants a line names.
const mostNames = 5

// names returns the tenants of some units for a line of the log, at most mostNames.
func names(keys []alert.UnitKey) string {
	tenants := make([]string, len(keys))
	for i, key := range keys {
		tenants[i] = string(key.TenantID)
	}

	slices.Sort(tenants)

	if more := len(tenants) - mostNames; more > 0 {
		return strings.Join(tenants[:mostNames], ", ") + fmt.Sprintf(" and %d more", more)
	}

	return strings.Join(tenants, ", ")
}
