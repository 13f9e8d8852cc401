package check

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Line is what became of one check.
type Line struct {
	Name string
	// Err says what is wrong; nil when it passed. Advice then says what to do.
	Err    error
	Advice string
	// Note is what is good to know of one that passed.
	Note string
	// Skipped says why it was not tried.
	Skipped string
}

// Result is "pass", "skip" or "fail".
func (l Line) Result() string {
	switch {
	case l.Err != nil:
		return "fail"
	case l.Skipped != "":
		return "skip"
	default:
		return "pass"
	}
}

// text is all that is said beside the result.
func (l Line) text() string {
	switch {
	case l.Err != nil:
		return fmt.Sprintf("%v. What to do: %s.", l.Err, l.Advice)
	case l.Skipped != "":
		return l.Skipped
	default:
		return l.Note
	}
}

// String is the line as it is printed.
func (l Line) String() string {
	result := l.Result()
	if l.Err != nil {
		result = "FAIL" // what the eye looks for
	}
	return strings.TrimRight(fmt.Sprintf("%s  %-17s %s", result, l.Name, l.text()), " ")
}

// MarshalJSON implements json.Marshaler: name and result, and of why, advice and note what there is.
func (l Line) MarshalJSON() ([]byte, error) {
	why := l.Skipped
	if l.Err != nil {
		why = l.Err.Error()
	}
	return json.Marshal(struct {
		Name   string `json:"name"`
		Result string `json:"result"`
		Why    string `json:"why,omitempty"`
		Advice string `json:"advice,omitempty"`
		Note   string `json:"note,omitempty"`
	}{l.Name, l.Result(), why, l.Advice, l.Note})
}
