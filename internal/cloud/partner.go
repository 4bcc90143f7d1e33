package cloud

import "fluent-bit-defender/internal/alert"

// PartnerURL is the host of Partner Center, and the resource that tokens for it are
// asked for, in every cloud that has one.
//
// https://learn.microsoft.com/partner-center/developer/partner-center-authentication
const PartnerURL = "https://api.partnercenter.microsoft.com"

// GraphURL returns the host of Microsoft Graph in a cloud, which lists a provider's
// relationships with customers. An unknown cloud counts as Commercial.
func GraphURL(c Cloud) string { return graph(c).APIURL }

// GraphResource returns the resource that tokens for Microsoft Graph are asked for.
func GraphResource(c Cloud) string { return graph(c).Resource }

func graph(c Cloud) Target {
	t, err := Lookup(c, alert.Graph, "")
	if err != nil {
		t, _ = Lookup(Commercial, alert.Graph, "") // the table has a row for it
	}

	return t
}
