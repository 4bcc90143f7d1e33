package record

import (
	"slices"
	"strings"
)

// chosen is the source of the text that the entity chosen for the group has for a key.
func chosen(form cefForm, group int, key string) source {
	at := cefGroups[group].index(key)

	return source{
		get: func(a *cefAlert) string {
			if entity := a.groups[group]; entity != nil {
				return entity.values[at]
			}

			return ""
		},
		what: groupText(form, group, key),
	}
}

// orElse is the source of the text of the first of some sources that has one. It is for
// groups that exclude each other and fill the same key.
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
func process(form cefForm) source {
	ofProcess, ofImage := chosen(form, groupProcess, "sproc"), chosen(form, groupImage, "sproc")
	s := orElse(ofProcess, ofImage)
	s.what = ofProcess.what

	return s
}

// fileOf is the source of a key of the file, or of the process that the line is about if
// there is no file.
func fileOf(form cefForm, key string) source {
	return orElse(chosen(form, groupFile, key), chosen(form, groupImage, key))
}

// user is the source of a key of the user. The name may be the sender of a message.
func user(form cefForm, key string) source {
	s := chosen(form, groupUser, key)
	if key == "suser" && len(cefGroups[groupMail].entities[form]) > 0 {
		s.what += "; else " + groupText(form, groupMail, key)
	}

	return s
}

// recipient is the source of the user that a message was sent to.
func recipient(form cefForm) source {
	return orElse(chosen(form, groupMail, "duser"), chosen(form, groupMailbox, "duser"))
}

// fileID is the source of the id of the application that the line is about, else of that
// of a message.
func fileID(form cefForm) source {
	application, message := chosen(form, groupProcess, "fileId"), chosen(form, groupMail, "fileId")

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

// requestURL is the source of a link, or else of the links in a message.
func requestURL(form cefForm) source {
	if len(cefGroups[groupMail].entities[form]) == 0 {
		return chosen(form, groupURL, readURL)
	}

	return orElse(chosen(form, groupURL, readURL), chosen(form, groupMail, readURL))
}

// groupText returns, in Markdown, which fields of which entities fill a key.
func groupText(form cefForm, group int, key string) string {
	var (
		fields []string
		kinds  [][]string
	)

	for _, entity := range cefGroups[group].entities[form] {
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
