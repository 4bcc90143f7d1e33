package simulator

// odataAPI has the options of one OData list.
type odataAPI struct {
	context string
	filter  []property
	// maxTop is the largest $top. A larger one is refused with 400; with clamp it is
	// silently reduced.
	maxTop int
	clamp  bool
	// maxSkip is the largest $skip; 0 is any.
	maxSkip int
	expand  string // what $expand may name
	selects bool   // it has $select
	code    string // of a 400 for a bad query
}

var endpointList = &odataAPI{
	context: "https://api.securitycenter.microsoft.com/api/$metadata#Alerts",
	maxTop:  10000,
	expand:  "evidence",
	code:    "ODataError",
	filter: []property{ // get-alerts.md
		{
			name: "lastUpdateTime",
			kind: propTime,
			role: 'u',
		},
		{name: "alertCreationTime", kind: propTime, role: 'c'},
		{name: "lastEventTime", kind: propTime},
		{
			name: "incidentId",
			kind: propNumber,
		},
		{name: "InvestigationId", kind: propNumber, path: "investigationId"},
		{
			name: "investigationId",
			kind: propNumber,
		},
		{name: "id"},
		{name: "assignedTo"},
		{name: "detectionSource"},
		{name: "status"},
		{name: "severity"},
		{name: "category"},
	},
}

var graphList = &odataAPI{
	context: "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2",
	maxTop:  1000,
	clamp:   true,
	maxSkip: 500,
	code:    "BadRequest",
	filter: []property{ // security-list-alerts_v2.md
		{
			name: "lastUpdateDateTime",
			kind: propTime,
			role: 'u',
		},
		{name: "createdDateTime", kind: propTime, role: 'c'},
		{name: "assignedTo"},
		{name: "classification"},
		{name: "determination"},
		{name: "severity"},
		{name: "serviceSource"},
		{name: "status"},
		{name: "incidentId"}, // in use, though not in the page's list
	},
}

var graphIncidentsList = &odataAPI{
	context: "https://graph.microsoft.com/v1.0/$metadata#security/incidents",
	maxTop:  50,
	clamp:   true,
	maxSkip: 500,
	expand:  "alerts",
	code:    "BadRequest",
	filter: []property{ // security-list-incidents.md
		{
			name: "lastUpdateDateTime",
			kind: propTime,
			role: 'u',
		},
		{name: "createdDateTime", kind: propTime, role: 'c'},
		{name: "assignedTo"},
		{name: "classification"},
		{name: "determination"},
		{name: "severity"},
		{name: "status"},
	},
}

var incidentsList = &odataAPI{
	context: "https://api.security.microsoft.com/api/$metadata#Incidents",
	maxTop:  100,
	code:    "ODataError",
	filter: []property{ // api-list-incidents.md
		{
			name: "lastUpdateTime",
			kind: propTime,
			role: 'u',
		},
		{name: "createdTime", kind: propTime, role: 'c'},
		{name: "status"},
		{name: "assignedTo"},
	},
}
