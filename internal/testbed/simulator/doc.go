// Package simulator is Microsoft's sign-in service and the four Defender alert APIs,
// small enough to run inside a test and strict enough to find bugs: what the real
// services refuse, it refuses, with the same status, body and AADSTS code.
//
// # What it promises
//
// A [Simulator] made by [New] and started by [Simulator.Start] serves, on loopback
// ports of its own:
//
//   - the sign-in service (LoginURL): /{tenant}/oauth2/… and /{tenant}/oauth2/v2.0/… with token, authorize and devicecode, the admin
//     consent pages, and the metadata documents; {tenant} is the GUID or the domain of a tenant;
//   - "siem" (APIURL): the legacy alert exporter, /api/alerts;
//   - "endpoint": Defender for Endpoint, /api/alerts and /api/v1.0/alerts;
//   - "graph": Microsoft Graph, /v1.0/security/alerts_v2;
//   - "incidents": Defender XDR, /api/incidents.
//
// One store of alerts feeds all four ([Simulator.Add], [Simulator.Update],
// [Simulator.Generate]); the tenant in the access token decides whose alerts are
// served. Alerts may be listed late ([Alert].VisibleAt). [Simulator.Ledger] says
// afterwards which versions were listed and served, under the identity and version that
// the project's records use, so that a test can compare ids in with ids out.
// [Simulator.Requests] counts what was asked, how often, how much at once, and whether
// a Retry-After was respected.
//
// Every fault has a knob: [Config].Faults and [Simulator.SetFaults] take the grammar
// that [FaultsHelp] explains; tenants and applications are changed while it runs by the
// Set… methods. Nothing random is out of reach of [Config].Seed; with requests made one
// after the other two runs give the same answers.
//
// # Caveats
//
//   - Where Microsoft documents nothing, the simulator picks the reading that is harder on a client and says so at the field of [Config] that
//     changes it.
//   - It knows no users, licences or policies: who opens the sign-in page is the tenant's operator.
//   - Access tokens carry a signature that nobody can verify; the simulator knows the tokens that it issued and accepts no other.
//   - It must not be reachable from a network: everything in it is public by intent.
//
// Sources: the public pages of MicrosoftDocs (defender-docs, microsoft-365-docs,
// entra-docs, azure-docs) and microsoftgraph's microsoft-graph-docs-contrib, and public
// issues of collectors, named where a rule is built.
package simulator
