package simulator

// What the tests of package simulator_test need of the APIs.

// Path returns the path of an API's rows.
func Path(api string) string { return dataAPIOf(api).path }

// WholePath returns the path of an API's rows with the query that gives them whole.
func WholePath(api string) string {
	if a := dataAPIOf(api); a.list != nil && a.list.expand != "" {
		return a.path + "?$expand=" + a.list.expand
	}

	return Path(api)
}

// ResourceOf returns the resource that tokens for an API are asked for.
func ResourceOf(api string) string { return resourceByAPI(api).uris[0] }
