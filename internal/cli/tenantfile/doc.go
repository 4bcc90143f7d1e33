// Package tenantfile adds tenants to a tenants file that people wrote, and changes no
// other byte of it.
//
// # Basics
//
// Merge inserts what is missing: tenants at the end of the list, and remarks above
// tenants. Comments, order, indentation, line ends and quotation stay. A second Merge
// with the same tenants changes nothing. Replace writes a file in one step, with the
// rights and the owner that it had.
//
// # Caveats
//
// The file is changed as a text, at places that the parsed document names. The result is
// parsed again and compared: a file for which that does not come out right is refused
// and stays as it is.
package tenantfile
