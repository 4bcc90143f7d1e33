// Package fluentbit reads Fluent Bit's own configuration files, classic and YAML, so
// that they can be checked without Fluent Bit.
//
// It accepts and refuses what Fluent Bit 5.1.1 does, and understands it in the same way
// (src/config_format/flb_cf_fluentbit.c, flb_cf_yaml.c, src/flb_env.c): sections in
// order, indentation, `@INCLUDE` and `includes`, `@SET` and `env`, ${VAR} and
// ${VAR:-default}, and which of several equal keys counts. A table of some hundred odd
// files records what Fluent Bit does with each; where there is a Fluent Bit, a test
// runs it and compares. Every section and key keeps its file and line.
//
// # Caveats
//
//   - Values are those that a plugin would get: a variable that is not set became
//     nothing. Prop.Unset names it.
//   - Files that Fluent Bit loads from the service section (parsers_file, plugins_file
//     …) are not followed; Load reads each of them as well.
//   - Groups of a section are kept by name only, except processors and routes.
//   - Includes are bounded in number and size; a file that includes itself is an error,
//     as it is for Fluent Bit.
package fluentbit
