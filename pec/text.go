package pec

// Italian is the reason in the words of the anomaly envelope. [C139]
func (p Problem) Italian() string { return "" }
