package cloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
)

// Cloud is one of Microsoft's clouds, spelled as the key `cloud` has it. A token of one
// cloud is not valid in another.
type Cloud string

// The clouds.
const (
	// Commercial is the worldwide cloud.
	Commercial Cloud = "commercial"
	// GCC is the US Government Community Cloud: it signs in at the commercial login host.
	GCC Cloud = "gcc"
	// GCCHigh is the US Government Community Cloud High.
	GCCHigh Cloud = "gcchigh"
	// DoD is the US Department of Defense cloud.
	DoD Cloud = "dod"
)

// Clouds returns the values of the key `cloud`, the default first.
func Clouds() []Cloud { return []Cloud{Commercial, GCC, GCCHigh, DoD} }

// Names returns the values of the key `cloud` as texts, the default first.
func Names() []string {
	var names []string
	for _, c := range Clouds() {
		names = append(names, string(c))
	}

	return names
}

// ParseCloud reads a value of the key `cloud`, in any case; an empty one is Commercial.
func ParseCloud(s string) (Cloud, error) {
	if s == "" {
		return Commercial, nil
	}

	if c := Cloud(strings.ToLower(s)); slices.Contains(Clouds(), c) {
		return c, nil
	}

	return "", keyError(
		"cloud",
		fmt.Sprintf("unknown cloud %.64q", s),
		"use one of "+strings.Join(Names(), ", "),
	)
}

// Target has the facts of one API in one cloud and region. Addresses are scheme and host,
// without a path or a final slash.
type Target struct {
	// LoginURL is the sign-in service, APIURL the API's host, Path the path of its
	// alerts.
	LoginURL, APIURL, Path string
	// Resource is the App ID URI that tokens are asked for: the parameter `resource` at
	// v1 endpoints, the base of the scope ("<Resource>/.default") at v2 endpoints.
	Resource string
	// V1 says that tokens come from the v1 endpoints (/oauth2/token). Otherwise they
	// come from v2 (/oauth2/v2.0/token).
	V1 bool
	// MaxPage is the greatest number of rows that the API returns in a page. DefaultPage
	// is the number that is requested if `page_size` is not set. Both are 0 if the API
	// has no pages.
	MaxPage, DefaultPage int
	// PerMinute and PerHour are the published call budgets, per application and tenant,
	// 0 if Microsoft publishes none.
	PerMinute, PerHour int
}

// KeyError is the error for a combination of keys that has no target.
type KeyError struct {
	// Fault has the problem and the remedy.
	advice.Fault
	// Key is the key to change.
	Key string
}

// Error returns one line: key, problem, remedy.
func (e *KeyError) Error() string { return e.Key + ": " + e.Fault.Error() }

// keyError returns a KeyError for a fault that the user must fix.
func keyError(key, problem, remedy string) *KeyError {
	return &KeyError{
		Fault: advice.Fault{
			Problem: problem,
			Remedy:  remedy,
			Fate:    advice.NeedsFix,
		},
		Key: key,
	}
}

// Regions returns the values that the key `region` may have for an API in a cloud. It
// returns nil if the key must not be set.
func Regions(c Cloud, api alert.API) []string {
	var regions []string

	for _, r := range hosts {
		if r.api == api && r.region != "" && slices.Contains(r.clouds, c) {
			regions = append(regions, r.region)
		}
	}

	return regions
}

// NeedsRegion reports whether an API in a cloud has a host for each region, and none for
// all of them.
func NeedsRegion(c Cloud, api alert.API) bool {
	if len(Regions(c, api)) == 0 {
		return false
	}

	return !slices.ContainsFunc(hosts, func(h host) bool {
		return h.api == api && h.region == "" && slices.Contains(h.clouds, c)
	})
}

// Lookup returns the target of an API in a cloud and region. Its errors are *KeyError.
//
// If only the region is missing (see NeedsRegion), Lookup returns both an
// error and a target that lacks only APIURL. A caller that has the address from the key
// `api_url` can use that target.
func Lookup(c Cloud, api alert.API, region string) (Target, error) {
	facts, err := api.Descriptor()
	if err != nil {
		return Target{}, unknownAPI(err)
	}

	if !slices.Contains(Clouds(), c) {
		_, err := ParseCloud(string(c))
		return Target{}, err
	}

	region = strings.ToLower(region)
	for _, h := range hosts {
		if h.api == api && h.region == region && slices.Contains(h.clouds, c) {
			return h.target(c, facts), nil
		}
	}

	regions := Regions(c, api)
	if region == "" {
		t := host{api: api, resource: regionalResource(c, api)}.target(c, facts)

		return t, keyError(
			"region",
			fmt.Sprintf("missing: api %s in the %s cloud has a host per region", api, c),
			"add region with one of "+strings.Join(regions, ", ")+" (where the customer's data is kept), or api_url",
		)
	}

	if len(regions) == 0 {
		return Target{}, keyError(
			"region",
			fmt.Sprintf("api %s in the %s cloud has no regions", api, c),
			"remove region",
		)
	}

	return Target{}, keyError(
		"region",
		fmt.Sprintf("api %s in the %s cloud has no region %.64q", api, c, region),
		"use one of "+strings.Join(regions, ", "),
	)
}

// regionalResource returns the resource of an API in a cloud, which all its regions
// share.
func regionalResource(c Cloud, api alert.API) string {
	for _, h := range hosts {
		if h.api == api && slices.Contains(h.clouds, c) {
			return h.resource
		}
	}

	return ""
}

// unknownAPI converts the error of package alert for an unknown API into a KeyError.
func unknownAPI(err error) error {
	var unknown *alert.UnknownError
	if !errors.As(err, &unknown) {
		return err
	}

	return keyError(unknown.Key, unknown.Problem(), unknown.Remedy())
}
