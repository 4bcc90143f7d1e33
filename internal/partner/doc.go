// Package partner lists a provider's customers by Microsoft's partner programme, and
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
// A list is complete, or there is an error: half a list would look as if customers had
// left. Answers are bounded in bytes, pages, rows and time. A next page is only read from
// the same host, since every request carries the access token. Errors are *Error; of a
// server's text they quote only codes and ids, and no secret.
package partner
