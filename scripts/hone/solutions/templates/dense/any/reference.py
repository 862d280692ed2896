{{reference}}
