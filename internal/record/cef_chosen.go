package record

import (
	"slices"
	"strconv"
	"strings"
)

// chosen is the source of a key of the entity that was chosen for the group.
func chosen(col, group int, key string) source {
	at := cefGroups[group].index(key)

	return source{
		get: func(a *cefAlert) string {
			if entity := a.groups[group]; entity != nil {
				return entity.values[at]
			}

			return ""
		},
		what: groupText(col, group, key),
	}
}

// orElse takes the text of the first of the sources that has one. Groups that exclude
// each other may fill the same key.
func orElse(sources ...source) source {
	what := make([]string, len(sources))
	for i, s := range sources {
		what[i] = s.what
	}

	return source{
		get: func(a *cefAlert) string {
			for _, s := range sources {
				if text := s.get(a); text != "" {
					return text
				}
			}

			return ""
		},
		what: strings.Join(what, "; else "),
	}
}

// process is the source of the application or the process that the line is about.
func process(col int) source {
	ofProcess, ofImage := chosen(col, groupProcess, "sproc"), chosen(col, groupImage, "sproc")
	s := orElse(ofProcess, ofImage)
	s.what = ofProcess.what

	return s
}

// fileOf is the source of a key of the file, or of the process that the line is about if
// there is no file.
func fileOf(col int, key string) source {
	return orElse(chosen(col, groupFile, key), chosen(col, groupImage, key))
}

// user is the source of a key of the user. The name may be the sender of a message.
func user(col int, key string) source {
	s := chosen(col, groupUser, key)
	if key == "suser" && len(cefGroups[groupMail].of(col)) > 0 {
		s.what += "; else " + groupText(col, groupMail, key)
	}

	return s
}

func recipient(col int) source {
	return orElse(chosen(col, groupMail, "duser"), chosen(col, groupMailbox, "duser"))
}

// fileID is the source of the id of the application that the line is about, else of that
// of a message.
func fileID(col int) source {
	application, message := chosen(col, groupProcess, "fileId"), chosen(col, groupMail, "fileId")

	return source{
		get: func(a *cefAlert) string {
			if entity := a.groups[groupProcess]; entity != nil && entity.later {
				return application.get(a)
			}

			return message.get(a)
		},
		what: application.what + "; else " + message.what,
	}
}

func requestURL(col int) source {
	if len(cefGroups[groupMail].of(col)) == 0 {
		return chosen(col, groupURL, readURL)
	}

	return orElse(chosen(col, groupURL, readURL), chosen(col, groupMail, readURL))
}

// source4 and source6 are the address that the alert came from.
func source4(col int) source {
	return source{
		get:  func(a *cefAlert) string { return addressText(a.source4) },
		what: sourceText(col),
	}
}

func source6(col int) source {
	return source{
		get:  func(a *cefAlert) string { return addressText(a.source6) },
		what: sourceText(col),
	}
}

func destination4(col int) source {
	return source{
		get: func(a *cefAlert) string {
			if !a.destination.Is4() {
				return ""
			}

			return a.destination.String()
		},
		what: groupText(col, groupConnection, "dst"),
	}
}

func destination6(col int) source {
	return source{
		get: func(a *cefAlert) string {
			if !a.destination.Is6() {
				return ""
			}

			return a.destination.String()
		},
		what: groupText(col, groupConnection, "dst"),
	}
}

// port is the source of a port of the connection. The port of the source is left out if
// its address is not in the line, since it would stand beside another address then.
func port(col int, key string) source {
	s := chosen(col, groupConnection, key)
	from := chosen(col, groupConnection, readAddress)

	return source{
		get: func(a *cefAlert) string {
			text := s.get(a)
			if _, err := strconv.ParseUint(text, 10, 16); err != nil {
				return ""
			}

			if key == "spt" && !address(from.get(a)).IsValid() {
				return ""
			}

			return text
		},
		what: s.what,
	}
}

// groupText says in Markdown which fields of which entities fill a key.
func groupText(col, group int, key string) string {
	var (
		fields []string
		kinds  [][]string
	)

	for _, entity := range cefGroups[group].of(col) {
		for _, field := range entity.fields {
			if field.key != key {
				continue
			}

			text := "`" + strings.ReplaceAll(strings.Join(field.paths, "`, else `"), " + ", "`.`") + "`"
			if at := slices.Index(fields, text); at >= 0 {
				kinds[at] = append(kinds[at], entity.kind)
			} else {
				fields, kinds = append(fields, text), append(kinds, []string{entity.kind})
			}
		}
	}

	for i := range fields {
		fields[i] = "ev(" + strings.Join(kinds[i], ", ") + "): " + fields[i]
	}

	return strings.Join(fields, "; else ")
}

// sourceText says in Markdown where the source address comes from, in the order asked.
func sourceText(col int) string {
	var parts []string

	for _, group := range [...]int{groupConnection, groupAddress, groupMail, groupHost} {
		if text := groupText(col, group, readAddress); text != "" {
			parts = append(parts, text)
		}
	}

	return strings.Join(parts, "; else ")
}
