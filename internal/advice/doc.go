// Package advice has the one shape of a fault that is explained to a person: what is
// wrong, what to do about it, and whether it goes away by itself.
//
// # Basics
//
// Fault is that shape. An error type of another package embeds it and adds what is
// special to it, such as the key of a configuration. Error and Message print every fault
// in the same way, in a log line, a status record or a table. Of finds the fault in any
// error, ExitCode the exit code that a command ends with.
//
// # Caveats
//
// A Fault's text bounds and cleans its cause, since that may quote another machine.
// Problem, Remedy and Codes are printed as they are, up to the length of the line: who
// writes a Fault puts no secret and no text of another machine into them.
package advice
