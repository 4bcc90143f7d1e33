// Package config turns what a user wrote into what the collector does: one input with
// its tenants, or every fault at once.
//
// Options describes each option of the input once, as data. Reading a section, reading
// a tenants file, the message for a misspelt key, `defenderctl check` and the reference
// page (Markdown) all come from that table.
//
// What it promises:
//
//   - FromPlugin returns either a complete Input or an error that joins all faults.
//     Each is one line that names the key, or the file and line, the tenant and the
//     remedy. It never returns half of an input.
//   - No fault, warning or printed Input shows the value of a secret.
//   - Nothing is asked over the network; a tenant_id is never resolved.
//   - Any tenants file is read in bounded time and memory.
//
// # Caveats
//
// Fluent Bit does not list the keys of a section, so FromPlugin cannot see a misspelt
// one: see UnknownKey. It also turns a variable that is not set into an empty value,
// which cannot be told from a key that was left out.
//
// Files named in the configuration are read here only to check them. The parts that use
// them read them again.
package config
