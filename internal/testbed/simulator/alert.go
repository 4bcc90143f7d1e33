package simulator

import (
	"encoding/json"
	"time"
)

// Alert is one alert as all APIs show it. Only ID and the times matter to the
// simulator; what is empty is shown as the API shows what is unknown. Times are kept in
// steps of 100 ns.
type Alert struct {
	// ID is da<.NET ticks>_<int32> at Microsoft; Add makes one up if it is empty.
	ID string
	// IncidentID is the incident that the alert belongs to; Add makes a new one if it
	// is 0.
	IncidentID int64
	// Title, Description and Category are texts; Severity is Informational, Low, Medium
	// or High; Status New, InProgress or Resolved.
	Title, Description, Category, Severity, Status string
	// AssignedTo is the owner's user principal name.
	AssignedTo string
	// Created and Updated are what windows go by; Updated is Created if zero, and
	// Created is now.
	Created, Updated time.Time
	// VisibleAt is when this version is listed: Updated if zero, and never before the
	// call that adds it. Until then the version before it is listed.
	VisibleAt time.Time
	// ServiceSource and DetectionSource in Graph's spelling; Graph masks what is newer
	// than unknownFutureValue.
	ServiceSource, DetectionSource string
	// Machine is the fully qualified name of the device; DeviceID 40 hex digits;
	// MachineGroup its device group.
	Machine, DeviceID, MachineGroup string
	// RegistryTags and PortalTags are the device's tags of the two kinds that the SIEM
	// API filters by.
	RegistryTags, PortalTags string
	// Techniques are MITRE ATT&CK techniques.
	Techniques []string
	// Comments, newest last.
	Comments []Comment
	// Evidence of the alert.
	Evidence []Evidence
	// Detections are the parts in which the SIEM API shows the alert; one, made from
	// the alert, if nil. They never change: Update may add some, nothing else.
	Detections []Detection
	// RedirectIncidentID says that the incident was merged into another one.
	RedirectIncidentID int64
	// Empty says how the SIEM API shows texts that are empty.
	Empty EmptyMode
	// Escapes says how JSON strings are written; see the constants.
	Escapes EscapeMode
	// Fields replaces fields by API and key: the value is JSON, an empty one leaves the
	// key out, an unknown key is added.
	Fields map[string]map[string]json.RawMessage
	// Raw replaces whole rows, by API: the JSON text as it is sent.
	Raw map[string]json.RawMessage
}

// Comment is a remark of an analyst.
type Comment struct {
	Text, By string
	At       time.Time
}

// Detection is one record of the SIEM API. What is empty is taken from the alert.
type Detection struct {
	// IocUniqueID makes, behind AlertId and ":", the FullId; made up if empty.
	IocUniqueID string
	// AlertTime is when it happened; LastProcessed when the service received it, which
	// windows go by; VisibleAt when it is listed: at LastProcessed if zero, never
	// before the call that adds it.
	AlertTime, LastProcessed, VisibleAt time.Time
	// FileName, FilePath, Sha1, CommandLine, UserName, UserDomain, IPAddress and URL
	// are what was seen.
	FileName, FilePath, Sha1, CommandLine, UserName, UserDomain, IPAddress, URL string
	// ReportID is an integer of the service.
	ReportID int64
	// Fields replaces fields of this record, like Alert.Fields.
	Fields map[string]json.RawMessage
}

// Evidence is one entity of an alert.
type Evidence struct {
	// Type is User, Process, File, Ip, Url, Registry or Device.
	Type string
	// Created is when it was found.
	Created time.Time
	// Sha1, Sha256, FileName, FilePath, CommandLine: File and Process.
	Sha1, Sha256, FileName, FilePath, CommandLine string
	// ProcessID and ParentProcessID: Process. FileSize: File.
	ProcessID, ParentProcessID, FileSize int64
	// IPAddress: Ip. URL: Url. RegistryKey, RegistryValue: Registry.
	IPAddress, URL, RegistryKey, RegistryValue string
	// AccountName, DomainName, UserSID: User.
	AccountName, DomainName, UserSID string
	// RemediationStatus in Graph's spelling; none if empty.
	RemediationStatus string
}

// EmptyMode is how the SIEM API shows a text that is empty: all three were seen.
type EmptyMode int

// Microsoft's sample of 2020 has "", that of 2017 null; old alerts lack fields that
// came later.
const (
	EmptyString EmptyMode = iota
	EmptyNull
	EmptyMissing
)

// EscapeMode is how JSON strings are written; the same text in each.
type EscapeMode int

const (
	// EscapeMin escapes only what RFC 8259 section 7 demands.
	EscapeMin EscapeMode = iota
	// EscapeASCII writes everything outside ASCII as \uXXXX, beyond the basic plane as
	// surrogate pairs, as .NET's System.Text.Json does, and so <, >, &, ' and +.
	EscapeASCII
	// EscapeMax writes also "/" as \/ and control characters as \u00XX.
	EscapeMax
)
