// Package partner asks Microsoft's partner programme which customers a provider has, and
// consents for an application in a customer's tenant.
//
// # Basics
//
// A provider reaches its customers through relationships of granular delegated admin
// privileges (GDAP). Client.Customers lists them from Microsoft Graph, grouped by
// customer; Client.Consent allows an application in a customer's tenant through the
// Partner Center; Client.Tenant reads in which cloud a tenant is, which needs no sign-in.
//
//	https://learn.microsoft.com/graph/api/resources/delegatedadminrelationships-api-overview
//	https://learn.microsoft.com/partner-center/developer/control-panel-vendor-apis
//
// # Caveats
//
// A list is complete or an error: half of one would look like customers that left.
// Answers are bounded in bytes, pages, rows and time, and a list goes on at the same host
// only, since the access token goes with every request. Errors are *Error; they quote no
// text of a server except codes and ids, and no secret.
package partner
