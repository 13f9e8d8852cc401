package lab

import "testing"

func TestRender(t *testing.T) {
	v := values{}
	v.set("ONE", "1")
	v.list("MANY", "a", "b")
	v.list("NONE")
	for _, c := range []struct{ text, want string }{
		{"x @ONE@ y\n", "x 1 y\n"},
		{"@@MANY@ to @ONE@\n", "@a to 1\n@b to 1\n"},
		{"a\n@NONE@ gone\nb", "a\nb"},
		{"someone@host.example stays\n", "someone@host.example stays\n"},
	} {
		if got, err := v.render(c.text); err != nil || got != c.want {
			t.Errorf("render %q: got %q, %v; want %q", c.text, got, err, c.want)
		}
	}
	if got, err := v.render("@UNKNOWN@"); err == nil {
		t.Errorf("a placeholder without a value: got %q, want an error", got)
	}
}
