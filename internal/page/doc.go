// Package page finds the alerts in a page of an API's answer, one at a time, while it is still arriving.
package page
