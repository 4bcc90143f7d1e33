// Package simulator simulates Microsoft's sign-in service and the Defender alert
// APIs. It is small enough to run inside a test and strict enough to find bugs: it
// refuses what the real services refuse, with the same status, body and AADSTS code.
//
// # What it promises
//
// A [Simulator] made by [New] and started by [Simulator.Start] serves, on loopback
// ports of its own:
//
//   - the sign-in service (LoginURL): /{tenant}/oauth2/… and /{tenant}/oauth2/v2.0/…
//     with token, authorize and devicecode, the admin consent pages, and the metadata
//     documents; {tenant} is the GUID or the domain of a tenant;
//   - each of [APIs] (APIURL), at the path that the service has: Defender for Endpoint
//     under /api/v1.0 too.
//
// One store of alerts feeds all of them ([Simulator.Add], [Simulator.Update],
// [Simulator.Generate]); the tenant in the access token decides whose alerts are
// served. Alerts may be listed late ([Alert].VisibleAt). [Simulator.Ledger] says
// afterwards which versions were listed and served, under the identity and version that
// the project's records use, so that a test can compare ids in with ids out.
// [Simulator.Requests] counts what was asked, how often, how much at once, and whether
// a Retry-After was respected.
//
// With [Config].Home there is a provider's own tenant, and the others are its customers
// (GDAP): a refresh token of a sign-in at home is redeemed at each of them, as far as
// the [Relationship]s and the customer's settings allow. Graph then lists the
// relationships (/v1.0/tenantRelationships/…), and Partner Center consents for customers
// ([Partner], /v1/customers/{customer}/applicationconsents). A [Tenant] has a switch for
// each reason why a customer refuses; [Simulator.TokenRequests] says when the token
// endpoints were asked, and what they answered.
//
// [Config].Faults and [Simulator.SetFaults] switch faults on, in the grammar that
// [FaultsHelp] explains. The Set… methods change tenants and applications while it
// runs. [Config].Seed decides everything random: two runs with the same requests, one
// after the other, have the same answers.
//
// # Caveats
//
//   - Where Microsoft documents nothing, the simulator does what is harder for a
//     client; the field of [Config] that changes this says so.
//   - It has no users, licences or policies: whoever opens the sign-in page is the
//     tenant's operator.
//   - Nobody can verify the signature of an access token; the simulator accepts exactly
//     the tokens that it issued.
//   - It must not be reachable from a network: everything in it is meant to be public.
//
// Sources: Microsoft's public repositories of documents on GitHub (defender-docs,
// microsoft-365-docs, entra-docs, azure-docs, microsoft-graph-docs-contrib) and public
// issues of collectors. Each rule names its own.
package simulator
