package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A cefRule says what a key may hold.
type cefRule struct {
	kind  cefKind
	bytes int // the longest text
}

type cefKind int

const (
	cefText cefKind = iota
	cefInt          // 32 bits
	cefLong         // 64 bits
	cefFloat
	cefTime
	cefIPv4
	cefIPv6
	cefMAC
)

// custom are the fields that mean nothing without a label.
var custom = regexp.MustCompile(
	`^(cs[1-6]|cn[1-3]|cfp[1-4]|c6a[1-4]|deviceCustomDate[12]|flexString[12]|flexNumber[12]|flexDate1)$`,
)

var cefKeyName = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// cefTexts are the producer's keys that hold text, by their greatest length in bytes
// (appendix of the standard, "Producer").
var cefTexts = map[int]string{
	31:  "app proto",
	40:  "externalId",
	63:  "act outcome",
	100: "dvchost",
	128: "flexString1Label flexString2Label flexNumber1Label flexNumber2Label flexDate1Label",
	255: "deviceDnsDomain deviceExternalId deviceNtDomain dntdom sntdom destinationDnsDomain " +
		"sourceDnsDomain fileHash oldFileHash",
	1023: "cat cs1Label cs2Label cs3Label cs4Label cs5Label cs6Label cn1Label cn2Label cn3Label " +
		"cfp1Label cfp2Label cfp3Label cfp4Label c6a1Label c6a2Label c6a3Label c6a4Label " +
		"deviceCustomDate1Label deviceCustomDate2Label deviceFacility deviceProcessName dhost " +
		"dpriv dproc destinationServiceName duid duser fileId filePath filePermission fileType " +
		"flexString1 flexString2 fname msg oldFileId oldFileName oldFilePath oldFilePermission " +
		"oldFileType reason request requestClientApplication requestCookies requestMethod shost " +
		"sourceServiceName spriv sproc suid suser deviceInboundInterface deviceOutboundInterface " +
		"devicePayloadId",
	2048: "requestContext",
	4000: "cs1 cs2 cs3 cs4 cs5 cs6",
}

// cefTyped are the producer's keys that hold something else.
var cefTyped = map[cefKind]string{
	cefInt: "cnt dpid dpt dvcpid fsize in out oldFileSize spid spt type deviceDirection " +
		"destinationTranslatedPort sourceTranslatedPort",
	cefLong:  "cn1 cn2 cn3 flexNumber1 flexNumber2",
	cefFloat: "cfp1 cfp2 cfp3 cfp4",
	cefTime: "rt start end deviceCustomDate1 deviceCustomDate2 fileCreateTime fileModificationTime " +
		"oldFileCreateTime oldFileModificationTime flexDate1",
	cefIPv4: "src dst dvc deviceTranslatedAddress destinationTranslatedAddress sourceTranslatedAddress",
	cefIPv6: "c6a1 c6a2 c6a3 c6a4",
	cefMAC:  "smac dmac dvcmac",
}

// cefLater are the keys that came with version 1.2 and need CEF:1.
var cefLater = map[int]string{
	32:  "threatAttackID",
	40:  "threatActor",
	64:  "reportedResourceName reportedResourceType",
	128: "reportedResourceGroupName",
	256: "frameworkName reportedResourceID",
}

// cefConsumer are keys that ArcSight itself sets; a producer must not send them.
var cefConsumer = strings.Fields(
	"agt agentDnsDomain agentNtDomain agentTranslatedAddress agentZoneURI ahost aid amac art " +
		"at atz av customerExternalID customerURI destinationTranslatedZoneURI destinationZoneURI " +
		"deviceTranslatedZoneURI deviceZoneURI dlat dlong eventId rawEvent slat slong " +
		"sourceTranslatedZoneURI sourceZoneURI c6a1ZoneURI",
)

var cefRules, cefLaterRules = makeRules()

func makeRules() (now, later map[string]cefRule) {
	now, later = map[string]cefRule{}, map[string]cefRule{}

	for size, names := range cefTexts {
		for _, name := range strings.Fields(names) {
			now[name] = cefRule{cefText, size}
		}
	}

	for kind, names := range cefTyped {
		for _, name := range strings.Fields(names) {
			now[name] = cefRule{kind: kind}
		}
	}

	for size, names := range cefLater {
		for _, name := range strings.Fields(names) {
			later[name] = cefRule{cefText, size}
		}
	}

	return now, later
}

func ruleOf(key, version string) (cefRule, error) {
	if !cefKeyName.MatchString(key) {
		return cefRule{}, refuse("%.40q is no key", key)
	}

	for _, name := range cefConsumer {
		if key == name {
			return cefRule{}, refuse("%s is set by ArcSight, not by a producer", key)
		}
	}

	if rule, ok := cefRules[key]; ok {
		return rule, nil
	}

	if rule, ok := cefLaterRules[key]; ok && version == "1" {
		return rule, nil
	}

	return cefRule{}, refuse("%s is not in the dictionary", key)
}

// check returns an error if a key must not have the value.
func (r cefRule) check(value string) (err error) {
	switch r.kind {
	case cefText:
		if len(value) > r.bytes {
			err = fmt.Errorf("%d bytes, %d are allowed", len(value), r.bytes)
		}
	case cefInt:
		_, err = strconv.ParseInt(value, 10, 32)
	case cefLong:
		_, err = strconv.ParseInt(value, 10, 64)
	case cefFloat:
		_, err = strconv.ParseFloat(value, 64)
	case cefTime:
		err = checkTime(value)
	case cefIPv4, cefIPv6:
		ip, parseErr := netip.ParseAddr(value)
		if parseErr != nil || ip.Is4() != (r.kind == cefIPv4) || ip.Zone() != "" {
			err = fmt.Errorf("%q is not an address of its kind", value)
		}
	case cefMAC:
		_, err = net.ParseMAC(value)
	}

	return err
}

// checkTime accepts milliseconds since 1970, in this century, and the written forms of
// the standard's section on dates.
func checkTime(value string) error {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		if at := time.UnixMilli(n).UTC(); at.Year() < 2000 || at.Year() > 2099 {
			return fmt.Errorf("%s are not milliseconds of this century", value)
		}

		return nil
	}

	for _, layout := range []string{
		"Jan _2 15:04:05",
		"Jan _2 15:04:05.999",
		"Jan _2 2006 15:04:05",
		"Jan _2 2006 15:04:05.999",
		"Jan _2 15:04:05 MST",
		"Jan _2 2006 15:04:05 MST",
		"Jan _2 2006 15:04:05.999 MST",
	} {
		if _, err := time.Parse(layout, value); err == nil {
			return nil
		}
	}

	return errors.New("not a time")
}
