// Package cloud knows where Microsoft's sign-in service and security APIs live and what
// they allow.
//
// It is one table in code: for each cloud, API and region the addresses, the OAuth
// resource, the sign-in endpoint version, page sizes and published call budgets, with
// the public page each comes from. Configuration, readers, sign-in, `defenderctl check
// --explain` and the reference page all read this table; nothing else spells a
// Microsoft host name.
//
// # Caveats
//
// Hosts and resources of the government clouds come from pages that Microsoft has since
// shortened; where a value was never confirmed by a public source the row says so
// (Row.Unverified). Every one of them can be overridden by `login_url`, `api_url` and
// `resource`.
package cloud
