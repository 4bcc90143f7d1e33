// Package cloud has the addresses and limits of Microsoft's sign-in service and security
// APIs.
//
// It is one table in code. For each cloud, API and region the table has the addresses,
// the OAuth resource, the version of the sign-in endpoint, the page sizes and the
// published call budgets, with the public page that each comes from. Configuration,
// readers, sign-in, `defenderctl check --explain` and the reference page all read this
// table. No other package has a Microsoft host name.
//
// # Caveats
//
// Hosts and resources of the government clouds come from pages that Microsoft has since
// shortened. Row.Unverified names the values that no public source confirms. Users can
// override them all by `login_url`, `api_url` and `resource`.
package cloud
