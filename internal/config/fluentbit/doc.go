// Package fluentbit reads Fluent Bit's own configuration files, classic and YAML, so that they can be checked without Fluent Bit.
//
// It follows what Fluent Bit 4.1 to 5.1 do (src/config_format/flb_cf_fluentbit.c, flb_cf_yaml.c, src/flb_env.c): sections in
// order, `@INCLUDE` and `includes`, `@SET` and `env`, ${VAR} and ${VAR:-default}. Every section and key keeps its file and line.
//
// # Caveats
//
//   - Values are those that a plugin would be given: a variable that is not set became nothing. Prop.Unset names it.
//   - Files that Fluent Bit loads from the service section (parsers_file, plugins_file …) are not followed; Load reads each of
//     them as well.
//   - Processors, routes and groups belong to their section and are kept by name only.
//   - Includes are bounded in number, size and depth; a file that includes itself is an error, as it is for Fluent Bit.
package fluentbit
