package ocsf

// The ids of the schema that are used here, with their captions, and the words of the
// services that they stand for. They are facts of the OCSF schema 1.8.0
// (github.com/ocsf/ocsf-schema, Apache License 2.0); TestCaptionsAreThoseOfTheSchema
// compares them with it.

// An enum is a set of ids of one attribute.
type enum struct {
	attribute string // where the schema has it: the class or object, and the id's name
	words     []word
}

// A word is an id, its caption, and the services' words for it.
type word struct {
	id      int64
	caption string
	from    []string
}

// other is the id for a word of a service that the schema lacks. Its caption is that
// word.
const other = 99

// find returns the id for a word of a service, in any case, with its caption; nil if the
// schema has none.
func (e *enum) find(text []byte) *word {
	for i := range e.words {
		for _, from := range e.words[i].from {
			if equalFold(text, from) {
				return &e.words[i]
			}
		}
	}

	return nil
}

var severities = enum{"detection_finding.severity_id", []word{
	{0, "Unknown", []string{"unknown"}},
	{1, "Informational", []string{"informational"}},
	{2, "Low", []string{"low"}},
	{3, "Medium", []string{"medium"}},
	{4, "High", []string{"high"}},
}}

var alertStates = enum{"detection_finding.status_id", []word{
	{0, "Unknown", []string{"unknown"}},
	{1, "New", []string{"new"}},
	{2, "In Progress", []string{"inProgress"}},
	{4, "Resolved", []string{"resolved"}},
}}

var incidentStates = enum{"incident_finding.status_id", []word{
	{0, "Unknown", []string{"unknown"}},
	{1, "New", []string{"active", "new"}},
	{2, "In Progress", []string{"inProgress"}},
	{3, "On Hold", []string{"awaitingAction"}},
	{4, "Resolved", []string{"resolved"}},
	{5, "Closed", []string{"redirected"}},
}}

// classifications and determinations are the verdict on a finding. A determination that
// is among them says more than the classification.
var classifications = enum{"detection_finding.verdict_id", []word{
	{0, "Unknown", []string{"unknown"}},
	{1, "False Positive", []string{"falsePositive"}},
	{2, "True Positive", []string{"truePositive"}},
	{5, "Benign", []string{"informationalExpectedActivity"}},
}}

var determinations = enum{"detection_finding.verdict_id", []word{
	{6, "Test", []string{"securityTesting"}},
	{7, "Insufficient Data", []string{"notEnoughDataToValidate", "insufficientData"}},
}}

var evidenceVerdicts = enum{"evidences.verdict_id", []word{
	{0, "Unknown", []string{"unknown"}},
	{2, "True Positive", []string{"malicious"}},
	{4, "Suspicious", []string{"suspicious"}},
	{5, "Benign", []string{"noThreatsFound"}},
}}

var risks = enum{"device.risk_level_id", []word{
	{0, "Info", []string{"informational"}},
	{1, "Low", []string{"low"}},
	{2, "Medium", []string{"medium"}},
	{3, "High", []string{"high"}},
}}

// analytics are the kinds of analytics, by the detection source. For all other sources
// the kind is not known.
var analytics = enum{"analytic.type_id", []word{
	{1, "Rule", []string{"customDetection", "scheduledAlerts", "nrtAlerts"}},
	{4, "Learning (ML/DL)", []string{"builtInMl"}},
}}

var registryTypes = enum{"reg_value.type_id", []word{
	{1, "REG_BINARY", []string{"REG_BINARY", "binary"}},
	{2, "REG_DWORD", []string{"REG_DWORD", "dword"}},
	{4, "REG_EXPAND_SZ", []string{"REG_EXPAND_SZ", "expandString"}},
	{6, "REG_MULTI_SZ", []string{"REG_MULTI_SZ", "multiString"}},
	{7, "REG_NONE", []string{"REG_NONE", "none"}},
	{8, "REG_QWORD", []string{"REG_QWORD", "qword"}},
	{10, "REG_SZ", []string{"REG_SZ", "string"}},
}}

var algorithms = enum{"fingerprint.algorithm_id", []word{
	{1, "MD5", []string{"md5"}},
	{2, "SHA-1", []string{"sha1"}},
	{3, "SHA-256", []string{"sha256"}},
}}

// systems are the operating systems, by the beginning of their names.
var systems = enum{"os.type_id", []word{
	{100, "Windows", []string{"windows"}},
	{200, "Linux", []string{
		"linux",
		"ubuntu",
		"debian",
		"redhat",
		"centos",
		"suse",
		"fedora",
		"oraclelinux",
		"amazonlinux",
	}},
	{300, "macOS", []string{"macos"}},
	{301, "iOS", []string{"ios"}},
	{201, "Android", []string{"android"}},
}}

// system returns the id of an operating system, nil if the schema has none.
func system(name []byte) *word {
	for i := range systems.words {
		for _, from := range systems.words[i].from {
			if len(name) >= len(from) && equalFold(name[:len(from)], from) {
				return &systems.words[i]
			}
		}
	}

	return nil
}

// An activity says what has happened to a finding.
type activity int64

const (
	created activity = 1
	updated activity = 2
	closed  activity = 3
)

var activities = enum{"detection_finding.activity_id", []word{
	{int64(created), "Create", nil},
	{int64(updated), "Update", nil},
	{int64(closed), "Close", nil},
}}

// caption returns the caption of an activity.
func (a activity) caption() string { return activities.words[a-1].caption }

// Ids that stand alone.
var (
	unknownDevice    = word{0, "Unknown", nil}
	unknownUser      = word{0, "Unknown", nil}
	humanUser        = word{1, "User", nil}
	regularFile      = word{1, "Regular File", nil}
	unknownDirection = word{0, "Unknown", nil}
	unknownAnalytic  = word{0, "Unknown", nil}
	unknownAlgorithm = word{0, "Unknown", nil}
)

// standalone has these ids with the place that each has in the schema.
var standalone = []enum{
	{"device.type_id", []word{unknownDevice}},
	{"user.type_id", []word{unknownUser, humanUser}},
	{"file.type_id", []word{regularFile}},
	{"network_connection_info.direction_id", []word{unknownDirection}},
	{"analytic.type_id", []word{unknownAnalytic}},
	{"fingerprint.algorithm_id", []word{unknownAlgorithm}},
	{"os.type_id", []word{{other, "Other", nil}}},
}

// Kinds of observables.
var (
	hostObservable    = word{1, "Hostname", nil}
	addressObservable = word{2, "IP Address", nil}
	userObservable    = word{4, "User Name", nil}
	mailObservable    = word{5, "Email Address", nil}
	urlObservable     = word{6, "URL String", nil}
	hashObservable    = word{8, "Hash", nil}
)

var observableKinds = enum{"observable.type_id", []word{
	hostObservable,
	addressObservable,
	userObservable,
	mailObservable,
	urlObservable,
	hashObservable,
}}

// A class is one of the schema's event classes.
type class struct {
	id   int64
	name string
}

var (
	detectionFinding = class{2004, "Detection Finding"}
	incidentFinding  = class{2005, "Incident Finding"}
)

// The category of both classes, and the schema's version.
const (
	categoryID    = 2
	categoryName  = "Findings"
	schemaVersion = "1.8.0"
)
